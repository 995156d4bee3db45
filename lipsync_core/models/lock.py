"""One at a time: processes and threads that install the same model wait for each other."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` for the block; it is removed afterwards, and a dead process holds none.

    `on_wait` is called once where somebody else holds it.

    Raises:
        OSError: the file cannot be made, or its file system knows no locks.
    """
    descriptor = _acquire(path, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is released, so that nobody else's is taken away
        os.close(descriptor)


def _acquire(path: Path, on_wait: Callable[[], None]) -> int:
    has_waited = False
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            if not _is_free(descriptor):
                if not has_waited:
                    on_wait()
                has_waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the one before us has removed it: others lock a new file


def _is_free(descriptor: int) -> bool:
    """Whether the lock could be taken without waiting; then it is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
