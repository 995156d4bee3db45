"""Files of this machine, only below the folders that the settings name."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.media.output import output_errors
from lipsync_service.errors import AccessDeniedError, ObjectMissingError, StorageError, UrlRefusedError
from lipsync_service.storage.source import BLOCK_BYTES, MayWrite, Sent, SourceChangedError, SourceVersion
from lipsync_service.storage.url import Location

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a named pipe must not make the job wait
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV})  # links in a circle, sockets, devices without a driver


class FileStore:
    """Reads and writes file:// addresses below `roots`, and none below the folders `barred` inside of them.

    A link that stays below the roots is followed; one that leaves them is refused. The links are resolved first; then
    the folders are opened one by one without following links, so that nothing changes between check and use. A barred
    folder is known by its identity as well, under whatever name the system opens it.
    """

    def __init__(self, roots: Sequence[Path], barred: Sequence[Path] = ()) -> None:
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)
        self._barred = tuple(Path(os.path.realpath(each)) for each in barred)

    def source(self, location: Location) -> "FileSource":
        """The file at `location`; it is checked when it is opened."""
        return FileSource(location, self)

    def exists(self, location: Location) -> bool:
        """Whether there is a regular file."""
        try:
            with self.opened(location):
                return True
        except ObjectMissingError:
            return False

    def check_target(self, location: Location) -> None:
        """Refuse an address outside of the roots, or of what is no regular file."""
        _, real = self._rooted(location)
        with suppress(OSError):  # there is nothing, or the job says more when it writes
            _require_regular(real.lstat(), location)

    def discard(self, location: Location) -> None:
        """Remove the file, if there is one."""
        with (
            suppress(ObjectMissingError),
            self._folder_of(location, makes=False) as (folder, name),
            _read_errors(location),
        ):
            os.unlink(name, dir_fd=folder)

    def put(self, path: Path, location: Location, sent: Sent, may_write: MayWrite | None = None) -> None:
        """Copy `path` to `location`, which changes in one step after `may_write`; missing folders are made.

        Raises:
            UrlRefusedError: it is outside of the roots, or there is a folder, pipe, socket or device.
        """
        with path.open("rb") as source, self._folder_of(location, makes=True) as (folder, name):
            with suppress(FileNotFoundError):
                _require_regular(os.lstat(name, dir_fd=folder), location)
            partial = f".{secrets.token_hex(8)}.partial"
            with output_errors(Path(location.path)):
                handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
                try:
                    with os.fdopen(handle, "wb") as target:
                        shutil.copyfileobj(source, target, BLOCK_BYTES)
                        target.flush()
                        os.fsync(target.fileno())
                    if may_write is not None:
                        may_write()
                    os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    os.unlink(partial, dir_fd=folder)
                    raise

    @contextmanager
    def opened(self, location: Location) -> Iterator[int]:
        """A descriptor of the regular file at `location`.

        Raises:
            UrlRefusedError: the file is outside of the roots, or not a regular file.
            ObjectMissingError: there is no such file.
            AccessDeniedError: this user may not read it.
        """
        with self._folder_of(location, makes=False) as (folder, name):
            with _read_errors(location):
                handle = os.open(name, _READ, dir_fd=folder)
            try:
                _require_regular(os.fstat(handle), location)
                yield handle
            finally:
                os.close(handle)

    def _rooted(self, location: Location) -> tuple[Path, Path]:
        """The root above the file, and the file's path with all links resolved."""
        real = Path(os.path.realpath(location.path))
        above = (*real.parents,)  # the nearest first: a root inside of a barred folder is one that a person has named
        nearest = next((each for each in above if each in self._roots or each in self._barred), None)
        if nearest is None or nearest in self._barred or real in self._barred:
            raise _outside(location)
        return nearest, real

    @contextmanager
    def _folder_of(self, location: Location, *, makes: bool) -> Iterator[tuple[int, str]]:
        """The opened folder of the file, and the file's name in it."""
        root, real = self._rooted(location)
        with _read_errors(location):
            if makes:
                root.mkdir(parents=True, exist_ok=True)
            folder = os.open(root, _FOLDER)
        try:
            for part in real.relative_to(root).parts[:-1]:
                with _read_errors(location):
                    folder = _entered(folder, part, makes=makes)
                self._check_folder(folder, location)
            yield folder, real.name
        finally:
            os.close(folder)

    def _check_folder(self, folder: int, location: Location) -> None:
        opened = os.fstat(folder)
        for barred in self._barred:
            with suppress(OSError):  # it does not exist yet
                if os.path.samestat(opened, barred.stat()):
                    raise _outside(location)


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file of this machine."""

    location: Location
    store: FileStore

    def version(self) -> SourceVersion:
        """The file's size, and a validator from its device, inode, size and time of change."""
        with self.store.opened(self.location) as handle:
            return _version(handle)

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` of the file that `version` describes."""
        with self.store.opened(self.location) as handle, os.fdopen(os.dup(handle), "rb") as file:
            if _version(handle).validator != version.validator:
                raise SourceChangedError(f"{self.location.shown} changed while it was read", "try again")
            file.seek(start)
            left = (version.size_bytes or 0) - start if end is None else end - start
            while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
                left -= len(block)
                yield block


def _require_regular(status: os.stat_result, location: Location) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UrlRefusedError(f"{location.shown} is not a regular file", "give the address of a file")


def _outside(location: Location) -> UrlRefusedError:
    remedy = "use another folder, or add this one to LIPSYNC_FILE_ROOTS"
    return UrlRefusedError(f"{location.shown} is outside of the folders that jobs may use", remedy)


def _version(handle: int) -> SourceVersion:
    status = os.fstat(handle)
    validator = f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    return SourceVersion(status.st_size, validator, takes_ranges=False)


def _entered(folder: int, part: str, *, makes: bool) -> int:
    """Open the folder `part` in `folder`, and close `folder`."""
    if makes:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
    inner = os.open(part, _FOLDER, dir_fd=folder)
    os.close(folder)
    return inner


@contextmanager
def _read_errors(location: Location) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ObjectMissingError(f"there is no file {location.shown}", "check the address") from exc
    except PermissionError as exc:
        raise AccessDeniedError(f"{location.shown} may not be opened by this user", "check its permissions") from exc
    except OSError as exc:
        if exc.errno in _NO_FILE:
            raise UrlRefusedError(f"{location.shown} is not a regular file", "give the address of a file") from exc
        raise StorageError(f"{location.shown} cannot be opened: {exc.strerror}", "check the address") from exc
