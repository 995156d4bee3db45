"""Holds back lines that native libraries write on standard error."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

#: Descriptor 2 belongs to the process: a second thread would restore the first one's file instead of it.
_redirecting = RLock()


@contextmanager
def held_stderr(is_held: Callable[[str], bool]) -> Iterator[list[str]]:
    """Collect the lines of the block's standard error for which `is_held` is true, and pass the others on.

    The list fills when the block ends. Descriptor 2 itself is redirected, so that what other threads write meanwhile
    comes late; another thread's block waits for the end of this one.
    """
    with _redirecting:
        yield from _held(is_held)


def _held(is_held: Callable[[str], bool]) -> Iterator[list[str]]:
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written:
                text = line.decode(errors="replace")
                if is_held(text):
                    lines.append(text)
                else:
                    os.write(2, line)
