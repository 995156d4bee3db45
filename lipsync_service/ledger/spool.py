"""Spool: lines that wait on this host's disk until their receiver takes them.

One append-only file per process, synced to the disk at each append. A replay seals a file by renaming it under the
writer's lock and deletes it only after every line of it was taken. A process may be killed at any moment: no line is
lost once `append` has returned, but a line may be handed over twice, so the receiver must tolerate repetition.
"""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_log = logging.getLogger(__name__)
_LIVE = ".jsonl"
_SEALED = ".sealed"
_LOCK = "replay.lock"
_REFUSED = "refused.lines"
_CHUNK_LINES = 500

TakeLines = Callable[[Sequence[bytes]], Sequence[bytes]]  # takes lines without their ends, returns those it refuses


class Spool:
    """Lines below `folder`, which lies on a disk of this host (file locks must hold) and is made when needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._owner_pid = -1
        self._path = folder

    @property
    def refused_path(self) -> Path:
        """The file of the lines that the receiver refused, for a person to read."""
        return self.folder / _REFUSED

    @property
    def is_empty(self) -> bool:
        """No file waits now; another process may add one at any moment."""
        return not self._waiting()

    def append(self, lines: Sequence[bytes]) -> None:
        """Write `lines` (no line ends in them) and return when they are on the disk.

        Raises:
            OSError: the folder cannot be written or the disk is full; none of the lines is kept.
        """
        text = b"".join(line + b"\n" for line in lines)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _opened_for_append(self._own_path()) as descriptor:
            size_bytes = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, text)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size_bytes)
                raise
        if size_bytes == 0:
            _sync_folder(self.folder)  # else a power cut could lose the new file's name

    def replay(self, take: TakeLines, budget_s: float = float("inf")) -> int:
        """Hand all waiting lines to `take` and remove them; return how many it took.

        Does nothing where another process is replaying. Starts no further file after `budget_s` seconds. An error of
        `take` ends the replay and keeps the file.
        """
        taken = 0
        until = time.monotonic() + budget_s
        with self._alone() as is_alone:
            for path in self._waiting() if is_alone else ():
                if time.monotonic() > until:
                    break
                sealed = path if path.suffix == _SEALED else _seal(path)
                if sealed is not None:
                    taken += self._drain(sealed, take)
        return taken

    def _own_path(self) -> Path:
        if self._owner_pid != os.getpid():  # also after a fork
            self._owner_pid = os.getpid()
            self._path = self.folder / f"{socket.gethostname()}-{self._owner_pid}-{uuid4().hex[:8]}{_LIVE}"
        return self._path

    def _waiting(self) -> list[Path]:
        """Sealed files first: they are the oldest."""
        try:
            paths = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        return [path for suffix in (_SEALED, _LIVE) for path in paths if path.suffix == suffix]

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the replay's lock; False where another process holds it."""
        if not self.folder.is_dir():
            yield False
            return
        with (self.folder / _LOCK).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _drain(self, sealed: Path, take: TakeLines) -> int:
        *lines, torn = sealed.read_bytes().split(b"\n")
        if torn:  # its writer was killed inside `append`
            _log.warning("%s: dropped a line torn after %d bytes", sealed, len(torn))
        refused: list[bytes] = []
        for start in range(0, len(lines), _CHUNK_LINES):
            refused += take(lines[start : start + _CHUNK_LINES])
        if refused:
            self._keep_refused(refused)
        sealed.unlink()
        return len(lines) - len(refused)

    def _keep_refused(self, lines: Sequence[bytes]) -> None:
        _log.error("%d lines were refused; they are kept in %s", len(lines), self.refused_path)
        with _opened_for_append(self.refused_path) as descriptor:
            _write_all(descriptor, b"".join(line + b"\n" for line in lines))
            os.fsync(descriptor)
        _sync_folder(self.folder)


@contextmanager
def _opened_for_append(path: Path) -> Iterator[int]:
    """The descriptor of `path`, locked. A file that was sealed while this process waited for its lock is left alone."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)  # unlocks as well


def _is_at(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _seal(path: Path) -> Path | None:
    """Rename the file, so that its writer opens a new one; None where it has gone."""
    sealed = path.with_name(f"{path.stem}-{uuid4().hex[:8]}{_SEALED}")
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            path.rename(sealed)
    except FileNotFoundError:
        return None
    return sealed


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
