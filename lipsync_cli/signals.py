"""Turns signals into an exception, so that a stopped job removes its unfinished output."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `remains` tells the user what is left behind."""

    def __init__(self, signum: int, remains: str = "nothing was written") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.remains = remains

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, as shells count."""
        return 128 + self.signum


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at the first SIGINT, SIGTERM or SIGHUP inside the block.

    Later signals are ignored until the block ends, so that they cannot interrupt the clean-up.
    A signal that was already ignored at the start of the process (nohup, `&`) stays ignored.
    """
    previous = {signum: signal.getsignal(signum) for signum in _SIGNALS}
    watched = [signum for signum in _SIGNALS if previous[signum] is not signal.SIG_IGN]

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signum)

    try:
        for signum in watched:
            signal.signal(signum, interrupt)
        yield
    finally:
        for signum in watched:
            signal.signal(signum, previous[signum])


@contextmanager
def remaining(text: str) -> Iterator[None]:
    """If a signal ends the block, tell the user `text`: the work that is left behind or goes on."""
    try:
        yield
    except Interrupted as stopped:
        stopped.remains = text
        raise
