"""The output file: checked before the work, complete or absent after it."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from lipsync_core.errors import DiskFullError, LipSyncError, MemoryShortageError, OutputError, RefusedOutputError
from lipsync_core.limit_errors import DiskLimitError, OutputLimitError
from lipsync_core.limits import limits

#: FFmpeg's muxer for each file ending. (By itself it takes .m4v for a raw MPEG-4 stream.)
MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: The system's numbers by which FFmpeg speaks of what it was given and not of the file. Its own numbers are larger.
_REFUSALS = frozenset({errno.EINVAL, errno.ENOMEM, errno.ENOSYS, errno.ERANGE, errno.EDOM, errno.EAGAIN, errno.ENOTSUP})
_MAX_SYSTEM_ERRNO = 4095  # of Linux (include/linux/err.h)
_STEM_LENGTH = 40  # characters; keeps the partial file's name within the 255 bytes of common file systems


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that could not be written, before any work is done.

    Raises:
        OutputError: the ending is not .mp4, .m4v or .mov; the folder is missing or not writable; the path is a
            directory, a device or a file that may not be replaced; or it is one of `inputs`.
        DiskLimitError: its disk has less room than a job needs.
    """
    with output_errors(path):
        if path.suffix.lower() not in MUXERS:
            ending = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
            raise OutputError(f"output {path} {ending}", f"choose one of {', '.join(MUXERS)}")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", "create it, or choose another output")
        if _is_loop(path):
            raise OutputError(f"output {path} is a link that leads back to itself", "choose another name")
        if path.is_dir():
            raise OutputError(f"output {path} is a directory", "add a file name")
        if path.exists():
            _check_existing(path, inputs)
        _create(_partial_beside(path.resolve())).unlink()
        require_room(path.resolve().parent)


def require_room(folder: Path) -> None:
    """Raise DiskLimitError where the disk of `folder` has less room than a job leaves free."""
    free_bytes, least_bytes = shutil.disk_usage(folder).free, limits().min_free_bytes
    if free_bytes < least_bytes:
        raise DiskLimitError(
            f"the disk of {folder} has {free_bytes} bytes left, fewer than {least_bytes}", "free some space"
        )


def require_output_size(size_bytes: int, path: Path) -> None:
    """Raise OutputLimitError where the result `path` has grown beyond the limit."""
    most_bytes = limits().max_output_bytes
    if size_bytes > most_bytes:
        raise OutputLimitError(f"{path} has grown to more than {most_bytes} bytes", "ask for less quality, or a part")


@contextmanager
def atomic_output(path: Path, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """A hidden file in the folder of `path` to write to; it becomes `path` when the block ends without an error.

    On any exception, an interrupt included, it is removed and `path` stays as it was.

    Raises:
        OutputError: as `check_output`, or the finished file cannot be moved into place.
        DiskFullError: no room.
    """
    check_output(path, inputs)
    target = path.resolve()
    partial = _partial_beside(target)
    try:
        with output_errors(path):
            _create(partial)
        yield partial
        with output_errors(path):
            _sync(partial)
            partial.replace(target)
            _sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Translate the errors of FFmpeg and the system while `path` is written.

    Raises:
        DiskFullError: no room on the file system, in the quota or under the size limit.
        RefusedOutputError: a muxer or an encoder does not take what it was given.
        MemoryShortageError: FFmpeg was refused memory.
        OutputError: any other failure to write.
    """
    try:
        yield
    except (av.FFmpegError, OSError) as exc:
        if isinstance(exc, av.FFmpegError) and _is_refusal(exc):
            raise _refused(f"write {path}", exc) from exc
        if exc.errno in _FULL:
            remedy = "free some space, or choose an output on another disk"
            raise DiskFullError(f"no room left to write {path}", remedy) from exc
        raise OutputError(
            f"cannot write {path}: {exc.strerror or exc}", "check the folder and its permissions"
        ) from exc


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Translate the errors of FFmpeg while it is `doing` ("encode the sound") something that touches no file.

    Raises:
        RefusedOutputError: FFmpeg reports an error.
        MemoryShortageError: it was refused memory.
    """
    try:
        yield
    except av.FFmpegError as exc:
        raise _refused(doing, exc) from exc
    except ValueError as exc:  # PyAV's own check of what a container takes
        raise RefusedOutputError(f"FFmpeg refuses to {doing}: {exc}", "choose other options of the output") from exc


def _is_refusal(exc: av.FFmpegError) -> bool:
    return exc.errno is None or exc.errno in _REFUSALS or abs(exc.errno) > _MAX_SYSTEM_ERRNO


def _refused(doing: str, exc: av.FFmpegError) -> LipSyncError:
    if exc.errno == errno.ENOMEM:
        return MemoryShortageError(f"not enough memory to {doing}", "give it more, or choose a smaller --max-size")
    return RefusedOutputError(f"FFmpeg refuses to {doing}: {exc.strerror or exc}", "choose other options of the output")


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except OSError as exc:
        return exc.errno == errno.ELOOP
    return False


def _check_existing(path: Path, inputs: Iterable[Path]) -> None:
    if not path.is_file():
        raise OutputError(f"output {path} is not a regular file", "choose another name")
    if any(_is_same(path, source) for source in inputs):
        raise OutputError(f"output {path} is also an input", "choose another name")
    with path.open("r+b"):
        pass  # opening is the check: it fails for lacking permissions, read-only mounts and running programs


def _is_same(path: Path, source: Path) -> bool:
    """Both names lead to one file; False if the input cannot be inspected, which its own check reports."""
    try:
        return path.samefile(source)
    except (OSError, ValueError):
        return False


def _partial_beside(target: Path) -> Path:
    name = f".{target.stem[:_STEM_LENGTH]}.{secrets.token_hex(4)}.partial{target.suffix.lower()}"
    return target.with_name(name)


def _create(partial: Path) -> Path:
    """Create an empty file with the permissions that the user's umask gives."""
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return partial


def _sync(path: Path) -> None:
    """Wait until the file is on the disk: some file systems report only now that they are full."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
