"""A process that does parts of some work, a copy of the process that asks for them: see `part_processes`."""

import ctypes
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Generic, Protocol, TypeVar

from lipsync_core.clock import StageClock, StageTiming
from lipsync_core.errors import LipSyncError
from lipsync_core.memory import own_bytes
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.threads import threads_limited

_LOOK_EVERY = 8  # steps of progress
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)

_R = TypeVar("_R")
_R_co = TypeVar("_R_co", covariant=True)


class PartWork(Protocol[_R_co]):
    """Work in numbered parts."""

    @property
    def part_name(self) -> str:
        """A part, in messages: "a segment of the movie"."""

    @property
    def part_frames(self) -> Sequence[int]:
        """How many frames each part has."""

    def do(self, number: int, clock: StageClock, progress: ProgressCallback) -> _R_co:
        """Do a part, in a copy of this process; what it gives is pickled."""


@dataclass(frozen=True, slots=True)
class PartProgress:
    """How far a part is."""

    step: Progress
    cpu_s: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class PartDone(Generic[_R]):
    """What a part gave."""

    value: _R
    timings: tuple[StageTiming, ...]
    own_bytes: int  # of memory that the process shares with no other


@dataclass(frozen=True, slots=True)
class PartFailed:
    """The error of a part."""

    code: str
    message: str
    remedy: str


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that end this process come after the block: Python loses what a handler raises amid a fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(
    theirs: Connection, others: list[Connection], work: PartWork[_R], number: int, threads: int, parent: int
) -> None:
    """Do part `number`, and tell the other side, which has started this process for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all; the asker ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # it was started amid `held_back`
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for other in others:
        other.close()
    with threads_limited(threads):
        theirs.send(_answer(work, number, theirs))


def _answer(work: PartWork[_R], number: int, theirs: Connection) -> PartDone[_R] | PartFailed:
    clock, held = StageClock(), _Held()

    def tell(step: Progress) -> None:
        """Say how far it is."""
        held.look()
        theirs.send(PartProgress(step, clock.cpu_s, held.most_bytes))

    try:
        with memory_shortage_told():
            value = work.do(number, clock, tell)
    except LipSyncError as error:
        return PartFailed(error.code, error.message, error.remedy)
    except Exception as error:
        _log.exception("%s failed", work.part_name)
        return PartFailed(LipSyncError.code, f"{work.part_name} failed: {error}", "")
    return PartDone(value, clock.timings(), held.most_bytes)


class _Held:
    """The most memory of its own that this process has been seen to have."""

    def __init__(self) -> None:
        self.most_bytes = 0
        self._looks = 0

    def look(self) -> None:
        """Look now and then: each time takes a millisecond."""
        if self._looks % _LOOK_EVERY == 0:
            self.most_bytes = max(self.most_bytes, own_bytes())
        self._looks += 1
