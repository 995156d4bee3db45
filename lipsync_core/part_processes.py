"""Does the parts of some work side by side, each in a process of its own, a copy of this one.

Parts are begun in order, and few ahead of the one that is taken next, so that what they take of disk and memory does
not grow with the movie. A process that is killed costs the part that it was at.
"""

import gc
import logging
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Generic, TypeVar

from lipsync_core.clock import StageClock, StageTiming
from lipsync_core.errors import TransientError, error_of
from lipsync_core.machine import usable_cores, usable_memory_bytes
from lipsync_core.memory import resident_bytes
from lipsync_core.part_worker import PartDone, PartFailed, PartProgress, PartWork, held_back, serve
from lipsync_core.readers_usage import add_together
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.threads import network_threads

_AHEAD = 2  # parts for each process that are begun before those in front of them are taken
_TRIES = 3  # of a part whose process is killed
_CORES_OF_ONE = 2  # decoder, painting and encoder keep nearly so many busy
_PROCESS_BYTES = 120 << 20
_PICTURES = 40  # that a process holds, in decoder, queues and encoder
_MEMORY_SHARE = 2  # one half of the memory that there is
_END_S = 5.0
_TASKS = Path("/proc/self/task")

_log = logging.getLogger(__name__)

_R = TypeVar("_R")


@dataclass(slots=True)
class _Worker:
    process: ForkProcess
    connection: Connection
    number: int  # of the part that it is at


def can_copy_this_process() -> bool:
    """Whether a copy of this process works: where the system forks, and no other thread holds a lock in it."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:  # one of a pool may have no children
        return False
    return sum(1 for _ in _TASKS.iterdir()) == 1


def jobs_for_the_machine(picture_bytes: int) -> int:
    """How many processes the cores and the memory of this machine are good for, at pictures of this size."""
    by_cores = usable_cores() // _CORES_OF_ONE
    memory_bytes = usable_memory_bytes()
    if memory_bytes is None:
        return by_cores
    each_bytes = _PROCESS_BYTES + _PICTURES * picture_bytes
    return max(1, min(by_cores, memory_bytes // _MEMORY_SHARE // each_bytes))


class PartProcesses(Generic[_R]):
    """Some processes that do the parts of `work`; use it as a context manager, which ends them."""

    def __init__(self, work: PartWork[_R], jobs: int) -> None:
        count = len(work.part_frames)
        self._work = work
        self._jobs = min(jobs, count)
        self._workers: list[_Worker] = []
        self._tries = [0] * count
        self._waiting = deque(range(count))
        self._done: dict[int, _R] = {}  # that were not taken yet
        self._progress: dict[int, PartProgress] = {}  # of the parts that are at work or done
        self._bytes: dict[int, int] = {}  # of each process that runs, by its number: the most that no other shares
        self.timings: list[StageTiming] = []  # of all parts so far

    def __enter__(self) -> "PartProcesses[_R]":
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

    def in_order(self, clock: StageClock, progress: ProgressCallback) -> Iterator[_R]:
        """What the parts give. `progress` is told how many frames of all parts are done.

        `clock` is shown what the processes use, so that limits count it before the callback looks at them.

        Raises:
            LipSyncError: a part's own error.
            TransientError: the processes of a part were killed, one after the other.
        """
        with _few_pages_copied():
            for number in range(len(self._tries)):
                while number not in self._done:
                    self._hand_out(number)
                    self._take(clock, progress)
                yield self._done.pop(number)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all parts so far, those at work among them."""
        return sum(part.cpu_s for part in self._progress.values())

    def _hand_out(self, taken: int) -> None:
        """Start processes, as long as the next part is not too far ahead of the one that is awaited."""
        last = taken + self._jobs * _AHEAD
        while self._waiting and self._waiting[0] < last and len(self._workers) < self._jobs:
            if not self._is_started(self._waiting[0]):
                return
            self._tries[self._waiting.popleft()] += 1

    def _is_started(self, number: int) -> bool:
        """Start a process for a part; False where there may be no more of them than there are.

        Raises:
            TransientError: there may be none.
        """
        try:
            self._fork(number)
        except OSError as exc:
            if not self._workers:
                reason = f"no process for {self._work.part_name} can be started: {exc.strerror}"
                raise TransientError(reason, "try again, or with --jobs 1") from exc
            self._jobs = len(self._workers)
            return False
        return True

    def _fork(self, number: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        own_ends = [worker.connection for worker in self._workers] + [ours]
        fork = multiprocessing.get_context("fork")
        threads = max(1, network_threads() // self._jobs)
        process = fork.Process(
            target=serve, args=(theirs, own_ends, self._work, number, threads, os.getpid()), daemon=True
        )
        with held_back():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, number))

    def _take(self, clock: StageClock, progress: ProgressCallback) -> None:
        """Wait for what a process says, or for its end."""
        ready = wait([worker.connection for worker in self._workers])
        for worker in [each for each in self._workers if each.connection in ready]:
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._lose(worker)
                continue
            number = worker.number
            if isinstance(message, PartProgress):
                self._progress[number] = message
                self._note_bytes(worker, message.most_bytes)
                clock.see_beside(self.cpu_s)
                frames = sum(part.step.done for part in self._progress.values())
                progress(Progress(message.step.stage, frames, sum(self._work.part_frames)))
            elif isinstance(message, PartFailed):
                raise error_of(message.code, message.message, message.remedy)
            else:
                self._keep(worker, number, message)

    def _keep(self, worker: _Worker, number: int, message: PartDone[_R]) -> None:
        self._done[number] = message.value
        self.timings.extend(message.timings)
        self._note_bytes(worker, message.own_bytes)
        self._end(worker)

    def _end(self, worker: _Worker) -> None:
        """Have done with a process when its part is done: a new copy shares more with this one, and has no gaps."""
        self._workers.remove(worker)
        self._bytes.pop(worker.process.pid or 0, None)
        worker.connection.close()
        worker.process.join()

    def _note_bytes(self, worker: _Worker, own_bytes: int) -> None:
        pid = worker.process.pid or 0
        self._bytes[pid] = max(self._bytes.get(pid, 0), own_bytes)
        add_together(resident_bytes() + sum(self._bytes.values()))

    def _lose(self, worker: _Worker) -> None:
        """A process was killed: its part is for another one."""
        number = worker.number
        self._end(worker)
        if self._tries[number] >= _TRIES:
            message = f"a process for {self._work.part_name} was killed, and those after it"
            raise TransientError(message, "is there memory?")
        _log.warning("a process for %s was killed: another one does it again", self._work.part_name)
        self._progress.pop(number, None)
        self._waiting.appendleft(number)


@contextmanager
def _few_pages_copied() -> Iterator[None]:
    """Keep the garbage collectors of copies away from what they share with this process."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
