"""This host's copies of files, stored under the hash of their content and removed when the cache is full.

`contents/ab/<sha256>` holds whole files and `arriving/<key>` unfinished ones; `sources/<key>` names the content of one
version of an address; `usage` says how full the cache was at the last look at all files. A file is in use while a
process holds a shared lock on it (flock), and only a file that can be locked exclusively is removed. The system
releases the locks of a process that dies, so no lease outlives its owner.
"""

import fcntl
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.media.output import output_errors
from lipsync_core.models.lock import locked
from lipsync_service.storage.segments import forget_segments

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK_BYTES = 512  # the unit of st_blocks, independent of the file system's own blocks (POSIX)
_LOOK_EVERY_S = 60.0  # at all files, which takes .1 ms each; between two looks, what is admitted is added up
_MOST_SOURCES = 100  # of one content: jobs whose edits are equal keep them at an address each
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    used_at_ns: int
    size_bytes: int  # on the disk
    path: Path


@dataclass(frozen=True, slots=True)
class _Usage:
    size_bytes: int  # of all files on the disk
    looked_at_s: float  # time.time() of the last look at all of them


class DownloadCache:
    """A folder that processes and threads of one host share."""

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self._folder = folder
        self._cap_bytes = cap_bytes

    @contextmanager
    def lease(self, sha256: str) -> Iterator[Path | None]:
        """The file with this content, which stays for the block; None if the cache does not have it."""
        path = self._content(sha256)
        with _in_use(path) as is_cached:
            yield path if is_cached else None

    @contextmanager
    def arriving(self, key: str) -> Iterator[Path]:
        """The unfinished file of the download `key`, for one caller at a time.

        It may already hold a part of the content, and it stays after the block until `admit` takes it.
        """
        path = self._folder / "arriving" / key
        self._make_folder()
        with output_errors(path):
            path.parent.mkdir(exist_ok=True)
        with locked(path.with_name(f"{key}.lock"), lambda: _logger.info("waiting for another download of %s", key)):
            is_ours = False
            while not is_ours:
                with output_errors(path):
                    path.touch()
                with _in_use(path) as is_ours:  # False if it was evicted just now
                    if is_ours:
                        yield path

    @contextmanager
    def admit(self, arrived: Path, sha256: str) -> Iterator[Path]:
        """Store the whole file `arrived` as the content `sha256`, leased for the block; this may evict other files."""
        path = self._content(sha256)
        with ExitStack() as lease:
            with self._changing():
                with output_errors(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if path.exists():  # never replaced: another process may have leased it
                        arrived.unlink()
                        added_bytes = 0
                    else:
                        arrived.replace(path)
                        added_bytes = path.stat().st_blocks * _BLOCK_BYTES
                    lease.enter_context(_in_use(path))
                self._evict_if_full(added_bytes)
            yield path
        with self._changing():
            self._evict_if_full()

    def remember(self, key: str, sha256: str) -> None:
        """Note that the source `key` has this content."""
        path = self._folder / "sources" / key
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{key}.{os.getpid()}")
            partial.write_text(sha256, encoding="ascii")
            partial.replace(path)

    def remembered(self, key: str) -> str | None:
        """The noted content of the source `key`, if any; its file may have been evicted."""
        try:
            text = (self._folder / "sources" / key).read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if _SHA256.fullmatch(text) else None

    def forget_abandoned(self, latest_s: float, is_dry: bool = False) -> Iterator[int]:
        """Remove unfinished downloads that nobody has gone on with since `latest_s` (time.time()), and stale locks.

        Yields the size of each; in a dry run nothing is removed. What is in use stays, however old it is.
        """
        for path in self._folder.glob("arriving/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if status.st_mtime < latest_s and path.suffix != ".done" and (is_dry or _removed(path)):
                yield status.st_blocks * _BLOCK_BYTES

    def _evict_if_full(self, added_bytes: int = 0) -> None:
        """Evict where the cache may be above its cap; `added_bytes` were admitted just now. The caller holds the lock.

        What others leave in `arriving` is seen a minute later.
        """
        usage = self._usage()
        if usage is None or usage.size_bytes + added_bytes > self._cap_bytes:
            self._note_usage(_Usage(self._evict(), time.time()))
        elif added_bytes:
            self._note_usage(_Usage(usage.size_bytes + added_bytes, usage.looked_at_s))

    def _evict(self) -> int:
        """Remove files, the least recently used first, until the rest fits; files in use stay. Returns its size."""
        entries = sorted(self._entries(), key=lambda each: each.used_at_ns)
        size_bytes = sum(each.size_bytes for each in entries)
        if size_bytes <= self._cap_bytes:
            return size_bytes
        for entry in entries:
            if size_bytes > self._cap_bytes and _removed(entry.path):
                _logger.info("removed %s (%d bytes) from the cache", entry.path.name, entry.size_bytes)
                size_bytes -= entry.size_bytes
        self._forget_sources()
        if size_bytes > self._cap_bytes:
            excess_bytes = size_bytes - self._cap_bytes
            _logger.warning("the cache is %d bytes above its cap: everything in it is in use", excess_bytes)
        return size_bytes

    def _usage(self) -> _Usage | None:
        """How full the cache is; None where nobody knows, or nobody has looked for a minute."""
        try:
            size, looked_at = (self._folder / "usage").read_text(encoding="ascii").split()
            usage = _Usage(int(size), float(looked_at))
        except (OSError, ValueError):  # UnicodeDecodeError is one
            return None
        return usage if 0 <= time.time() - usage.looked_at_s < _LOOK_EVERY_S else None

    def _note_usage(self, usage: _Usage) -> None:
        path = self._folder / "usage"
        with output_errors(path):
            path.write_text(f"{usage.size_bytes} {usage.looked_at_s}", encoding="ascii")

    def _content(self, sha256: str) -> Path:
        return self._folder / "contents" / sha256[:2] / sha256

    def _make_folder(self) -> None:
        with output_errors(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users must not read the inputs

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._make_folder()
        with locked(self._folder / "cache.lock", lambda: None):
            yield

    def _entries(self) -> Iterator[_Entry]:
        for path in (*self._folder.glob("contents/*/*"), *self._folder.glob("arriving/*")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # a download that has just ended
            if path.suffix not in (".lock", ".done"):
                yield _Entry(status.st_mtime_ns, status.st_blocks * _BLOCK_BYTES, path)

    def _forget_sources(self) -> None:
        """Remove the notes of contents that are gone, and of the others all but the latest."""
        named = Counter[str]()
        for path in sorted(self._folder.glob("sources/*"), key=_noted_at_ns, reverse=True):
            sha256 = self.remembered(path.name)
            if sha256 is None:
                continue
            named[sha256] += 1
            if named[sha256] > _MOST_SOURCES or not self._content(sha256).exists():
                path.unlink(missing_ok=True)


def _noted_at_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0  # a note that has just been replaced


@contextmanager
def _in_use(path: Path) -> Iterator[bool]:
    """Protect `path` from removal for the block and mark it as just used; False if there is no such file."""
    while True:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if _is_still(path, handle):
                os.utime(handle)
                yield True
                return
        finally:
            os.close(handle)


def _removed(path: Path) -> bool:
    """Remove the file unless it is in use; returns whether it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        forget_segments(path)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
