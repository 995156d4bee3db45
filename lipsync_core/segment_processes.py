"""Renders the segments of one movie side by side, each in a process of its own, a copy of this one.

Segments are begun in order, and few ahead of the one that is joined next, so that what they take of disk and memory
does not grow with the movie. A process that is killed costs the segment that it was at.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path

from lipsync_core.clock import StageClock, StageTiming
from lipsync_core.errors import LipSyncError, TransientError, error_of
from lipsync_core.memory import give_free_memory_back, own_bytes
from lipsync_core.movie import MovieSegment
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.segment_work import SegmentWork
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.threads import network_threads, threads_limited

_AHEAD = 2  # segments for each process that are begun before those in front of them are joined
_TRIES = 3  # of a segment whose process is killed
_END_S = 5.0
_LOOK_EVERY = 8  # steps of progress
_FREE = -1
_PR_SET_PDEATHSIG = 1
_TASKS = Path("/proc/self/task")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a segment is."""

    frames: int
    cpu_s: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class _Rendered:
    segment: MovieSegment
    timings: tuple[StageTiming, ...]
    own_bytes: int  # of memory that the process shares with no other


@dataclass(frozen=True, slots=True)
class _Failed:
    code: str
    message: str
    remedy: str


@dataclass(slots=True)
class _Worker:
    process: ForkProcess
    connection: Connection
    number: int = _FREE  # of the segment that it is at


def can_copy_this_process() -> bool:
    """Whether a copy of this process works: where the system forks, and no other thread holds a lock in it."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:  # one of a pool may have no children
        return False
    return sum(1 for _ in _TASKS.iterdir()) == 1


class SegmentProcesses:
    """Some processes that render segments of `work` into `folder`; use it as a context manager, which ends them."""

    def __init__(self, work: SegmentWork, segments: Sequence[range], jobs: int, folder: Path) -> None:
        self._work = work
        self._segments = segments
        self._folder = folder
        self._jobs = min(jobs, len(segments))
        self._workers: list[_Worker] = []
        self._tries = [0] * len(segments)
        self._waiting = deque(range(len(segments)))
        self._rendered: dict[int, MovieSegment] = {}
        self._done: dict[int, _Done] = {}  # of the segments that are at work or rendered
        self._bytes: dict[int, int] = {}  # by process
        self.timings: list[StageTiming] = []  # of all segments so far

    def __enter__(self) -> "SegmentProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_END_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()

    def rendered(self, progress: ProgressCallback) -> Iterator[MovieSegment]:
        """The segments, in order. The file of a segment is removed when the next one is asked for.

        Raises:
            LipSyncError: a segment's own error.
            TransientError: the processes of a segment were killed, one after the other.
        """
        total = len(self._work.plan.timeline)
        with _few_pages_copied():
            for number in range(len(self._segments)):
                while number not in self._rendered:
                    self._hand_out(number)
                    self._take(progress, total)
                segment = self._rendered.pop(number)
                yield segment
                segment.path.unlink(missing_ok=True)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all segments so far, those at work among them."""
        return sum(done.cpu_s for done in self._done.values())

    @property
    def peak_bytes(self) -> int:
        """The memory of all that ran at the same time, beyond what they share, at most."""
        return sum(sorted(self._bytes.values())[-self._jobs :])

    def _hand_out(self, joined: int) -> None:
        """Give each free process a segment, as long as the next is not too far ahead of the one that is awaited."""
        last = joined + self._jobs * _AHEAD
        while self._waiting and self._waiting[0] < last:
            worker = next((each for each in self._workers if each.number == _FREE), None)
            if worker is None:
                if len(self._workers) == self._jobs:
                    return
                started = self._started()
                if started is None:
                    return
                worker = started
            number = self._waiting.popleft()
            self._tries[number] += 1
            worker.number = number
            with suppress(OSError):  # it was killed while it waited, which is found next
                worker.connection.send((self._segments[number], self._folder / f"segment-{number:05d}.mp4"))

    def _started(self) -> _Worker | None:
        """A new process; None where there may be no more of them than there are.

        Raises:
            TransientError: there may be none.
        """
        try:
            return self._forked()
        except OSError as exc:
            if not self._workers:
                reason = f"no process for a segment of the movie can be started: {exc.strerror}"
                raise TransientError(reason, "try again, or with --jobs 1") from exc
            self._jobs = len(self._workers)
            return None

    def _forked(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        own_ends = [worker.connection for worker in self._workers] + [ours]
        fork = multiprocessing.get_context("fork")
        threads = max(1, network_threads() // self._jobs)
        process = fork.Process(target=_serve, args=(theirs, own_ends, self._work, threads, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _take(self, progress: ProgressCallback, total: int) -> None:
        """Wait for what a process says, or for its end."""
        busy = [worker for worker in self._workers if worker.number != _FREE]
        ready = wait([worker.connection for worker in busy])
        for worker in (each for each in busy if each.connection in ready):
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._lose(worker)
                continue
            number = worker.number
            if isinstance(message, _Done):
                self._done[number] = message
                self._note_bytes(worker, message.most_bytes)
                progress(Progress("render", sum(done.frames for done in self._done.values()), total))
            elif isinstance(message, _Failed):
                raise error_of(message.code, message.message, message.remedy)
            else:
                self._keep(worker, number, message)

    def _keep(self, worker: _Worker, number: int, message: _Rendered) -> None:
        worker.number = _FREE
        self._rendered[number] = message.segment
        self.timings.extend(message.timings)
        self._note_bytes(worker, message.own_bytes)

    def _note_bytes(self, worker: _Worker, own_bytes: int) -> None:
        pid = worker.process.pid or 0
        self._bytes[pid] = max(self._bytes.get(pid, 0), own_bytes)

    def _lose(self, worker: _Worker) -> None:
        """A process was killed: its segment is for another one."""
        number = worker.number
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        if self._tries[number] >= _TRIES:
            raise TransientError(
                "a process that rendered a segment of the movie was killed, and those after it", "is there memory?"
            )
        _log.warning("a process that rendered a segment of the movie was killed: another one does it again")
        self._done.pop(number, None)
        self._waiting.appendleft(number)


def _serve(theirs: Connection, others: list[Connection], work: SegmentWork, threads: int, parent: int) -> None:
    """Render what the other side asks for, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all; the asker ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for other in others:
        other.close()
    with threads_limited(threads):
        while True:
            try:
                frames, path = theirs.recv()
            except EOFError:
                return
            theirs.send(_answer(work, frames, path, theirs))
            give_free_memory_back()  # of the encoder, in whose gaps the next one would not fit


def _answer(work: SegmentWork, frames: range, path: Path, theirs: Connection) -> _Rendered | _Failed:
    clock, held = StageClock(), _Held()

    def tell(step: Progress) -> None:
        """Say how far it is."""
        held.look()
        theirs.send(_Done(step.done, clock.cpu_s, held.most_bytes))

    try:
        with memory_shortage_told():
            segment = work.render(frames, path, clock, tell)
    except LipSyncError as error:
        shown = error.message.replace(str(path), str(work.request.output))  # nobody knows the segment's own file
        return _Failed(error.code, shown, error.remedy)
    except Exception as error:
        _log.exception("a segment of the movie failed")
        return _Failed(LipSyncError.code, f"a segment of the movie failed: {error}", "")
    return _Rendered(segment, clock.timings(), held.most_bytes)


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


@contextmanager
def _few_pages_copied() -> Iterator[None]:
    """Keep the garbage collectors of copies away from what they share with this process."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
