"""StageClock: the wall and CPU time of each stage of a job.

A stage is timed while its own code runs. When one stage pulls frames from another (stages are lazy
iterators), the inner stage pauses the outer one, so the rows add up and nothing is counted twice.
CPU time is the thread's own, plus that of the threads that a codec started for the stage and of the readers that were
asked in it (`isolation`). So are the requests to model servers.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lipsync_core.readers_usage import all_cpu_s, thread_cpu_s
from lipsync_core.serving_counts import NOTHING, ServingCounts, thread_counts

_T = TypeVar("_T")
_OTHER = "other"  # what a process does outside every stage
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class StageTiming:
    """One row of the timing table; `wall_s` and `cpu_s` exclude nested stages."""

    stage: str
    wall_s: float
    cpu_s: float
    items: int
    provider: str | None = None  # that ran the stage's network; None where it ran none
    served: ServingCounts | None = None  # what it asked of a model server; None where it asked for nothing

    @property
    def items_per_s(self) -> float:
        """Items (frames, for most stages) per second of the stage's own wall time; 0 if none were counted."""
        return self.items / self.wall_s if self.items and self.wall_s > 0 else 0.0


class _Stage:
    __slots__ = ("adopted", "cpu_s", "has_run", "items", "provider", "served", "wall_s")

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0
        self.items = 0
        self.has_run = False  # until then it only has threads, of a codec or network that was opened for it
        self.provider: str | None = None
        self.served = NOTHING
        self.adopted: dict[int, float] = {}  # thread id -> CPU seconds when last seen


class StageClock:
    """Accumulates wall and CPU seconds per stage, in the order in which the stages first ran.

    One clock serves one thread; `adopting` adds the CPU time of codec threads.
    """

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self._running: list[_Stage] = []
        self._wall_mark = time.perf_counter()
        self._cpu_mark, self._readers_mark = time.thread_time(), thread_cpu_s()
        self._served_mark = thread_counts()
        self._started_wall = self._wall_mark
        self._started_cpu, self._started_readers = time.process_time(), all_cpu_s()
        self._owner = threading.get_ident()
        self._absorbed_cpu_s = self._beside_cpu_s = 0.0

    @contextmanager
    def stage(self, name: str, items: int = 0, provider: str | None = None) -> Iterator[None]:
        """Time the block as `name`, pausing the stage around it, and add `items` to its count.

        `provider` runs the stage's network, where it has one.
        """
        if threading.get_ident() != self._owner:
            raise RuntimeError("a StageClock belongs to the thread that made it")
        stage = self._stages.setdefault(name, _Stage())
        if not stage.has_run:
            stage.has_run = True
            self._stages[name] = self._stages.pop(name)  # at the end: the rows are in the order of their first run
        stage.provider = provider or stage.provider
        self._charge()
        self._running.append(stage)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()
            stage.items += items
            _refresh(stage.adopted)

    def timed(self, name: str, values: Iterable[_T]) -> Iterator[_T]:
        """Yield from `values`, timing each step as `name` and counting one item for each."""
        iterator = iter(values)
        while True:
            with self.stage(name):
                try:
                    value = next(iterator)
                except StopIteration:
                    return
            self._stages[name].items += 1
            yield value

    @contextmanager
    def adopting(self, name: str) -> Iterator[None]:
        """Charge the CPU time of every thread that starts inside the block to stage `name` from now on.

        A codec starts its threads when it is opened, so wrap the opening. On a system without /proc
        no thread is adopted, and that time counts as "other".
        """
        before = _thread_ids()
        try:
            yield
        finally:
            stage = self._stages.setdefault(name, _Stage())
            for thread_id in _thread_ids() - before:
                stage.adopted[thread_id] = 0.0
            _refresh(stage.adopted)

    def see_beside(self, cpu_s: float) -> None:
        """Note what other processes have used so far for this job, before it is absorbed."""
        self._beside_cpu_s = cpu_s

    def absorb(self, rows: Sequence[StageTiming], wall_s: float) -> None:
        """Add what other processes have done in the last `wall_s`, in which this thread only waited for them.

        Their stages ran side by side, so `wall_s` is divided among them by the time that they took.
        """
        self._absorbed_cpu_s += sum(row.cpu_s for row in rows)
        self._beside_cpu_s = 0.0
        rows = [row for row in rows if row.stage != _OTHER]
        took_s = sum(row.wall_s for row in rows) or 1.0
        for row in rows:
            stage = self._stages.setdefault(row.stage, _Stage())
            stage.has_run = True
            stage.wall_s += row.wall_s * wall_s / took_s
            stage.cpu_s += row.cpu_s
            stage.items += row.items
            stage.provider = row.provider or stage.provider

    def timings(self) -> tuple[StageTiming, ...]:
        """The rows so far, then "other": the time that the process spent outside every stage."""
        self._charge()
        rows = []
        for name, stage in self._stages.items():
            _refresh(stage.adopted)
            cpu_s = stage.cpu_s + sum(stage.adopted.values())
            served = None if stage.served == NOTHING else stage.served
            rows.append(StageTiming(name, stage.wall_s, cpu_s, stage.items, stage.provider, served))
        wall_s = self.wall_s - sum(row.wall_s for row in rows)
        cpu_s = self.cpu_s - sum(row.cpu_s for row in rows)
        rows.append(StageTiming(_OTHER, max(0.0, wall_s), max(0.0, cpu_s), 0))
        return tuple(rows)

    @property
    def wall_s(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._started_wall

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the whole process, of its readers and of what was absorbed, since the clock was made."""
        own_s = time.process_time() - self._started_cpu
        return own_s + (all_cpu_s() - self._started_readers) + self._absorbed_cpu_s + self._beside_cpu_s

    def _charge(self) -> None:
        wall, cpu, served = time.perf_counter(), time.thread_time(), thread_counts()
        readers = thread_cpu_s()
        if self._running:
            self._running[-1].wall_s += wall - self._wall_mark
            self._running[-1].cpu_s += cpu - self._cpu_mark + (readers - self._readers_mark)
            if served is not self._served_mark:
                self._running[-1].served += served.since(self._served_mark)
        self._wall_mark, self._cpu_mark, self._readers_mark, self._served_mark = wall, cpu, readers, served


def _thread_ids() -> set[int]:
    try:
        return {int(task.name) for task in _TASKS.iterdir()}
    except FileNotFoundError:  # not Linux
        return set()


def _refresh(adopted: dict[int, float]) -> None:
    """Read each thread's CPU clock; a thread that has ended keeps its last reading."""
    for thread_id in adopted:
        # The clock id of another thread of this process: clock_gettime(2), CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED.
        clock_id = (~thread_id << 3) | 6
        try:
            adopted[thread_id] = time.clock_gettime(clock_id)
        except OSError:
            continue
