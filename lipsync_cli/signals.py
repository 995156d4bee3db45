"""Signals that end a job in an orderly way: whatever it was writing is removed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `remains` says what it leaves behind."""

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

    Later ones are ignored until the block ends, so that they cannot cut the clean-up short.
    A signal that whoever started us had set to be ignored (nohup, `&`) stays ignored.
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
    """Where a signal ends the block, have it said that this remains."""
    try:
        yield
    except Interrupted as stopped:
        stopped.remains = text
        raise
