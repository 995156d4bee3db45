"""A lock on a model: processes and threads that install the same model wait for each other."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` for the block and remove it afterwards; a dead process holds no lock.

    `on_wait` is called once if another process or thread holds the lock.

    Raises:
        OSError: the file cannot be made, or its file system knows no locks.
    """
    descriptor = _acquire(path, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, after which another holder may own the file
        os.close(descriptor)


def _acquire(path: Path, on_wait: Callable[[], None]) -> int:
    has_waited = False
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            if not _try_lock(descriptor):
                if not has_waited:
                    on_wait()
                has_waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_same_file(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder before us has removed this file: others lock a new one


def _try_lock(descriptor: int) -> bool:
    """Take the lock if it is free; False if it is not."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
