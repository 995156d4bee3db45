"""Cores in a simulation that all running work shares, as an operating system shares them: by thread.

Every thread runs at the same speed, `min(1, cores / threads)`. So one clock of "work done by each thread" serves all
of them, and a piece of work ends when that clock has gone on by its CPU-seconds per thread: the virtual time of fair
queueing (Parekh and Gallager, 1993), with which an event costs O(log n).
"""

import heapq
from itertools import count

import simpy

_NEVER_S = 1e12


class SharedProcessor:
    """Some cores (or GPUs), of which work with `threads` threads uses at most that many."""

    def __init__(self, environment: simpy.Environment, cores: float) -> None:
        self._environment = environment
        self.cores = cores
        self._thread_s = 0.0  # work that a thread would have got since the beginning
        self._at_s = 0.0  # when `_thread_s` was last brought up to date
        self._busy_core_s = 0.0
        self._threads = 0.0  # of all running work
        self._ends: list[tuple[float, int, float, simpy.Event]] = []  # heap: end in `_thread_s`, number, threads, event
        self._numbers = count()
        self._alarm = 0  # number of the alarm that still counts

    def work(self, cpu_s: float, threads: float = 1.0) -> simpy.Event:
        """An event that comes when `cpu_s` CPU-seconds are done by `threads` threads; others slow it down."""
        done = self._environment.event()
        if cpu_s <= 0:
            return done.succeed()
        self._bring_up_to_date()
        self._threads += threads
        heapq.heappush(self._ends, (self._thread_s + cpu_s / threads, next(self._numbers), threads, done))
        self._set_alarm()
        return done

    @property
    def busy_core_s(self) -> float:
        """Core-seconds used so far."""
        self._bring_up_to_date()
        return self._busy_core_s

    @property
    def _speed(self) -> float:
        return min(1.0, self.cores / self._threads) if self._threads else 1.0

    def _bring_up_to_date(self) -> None:
        passed_s = self._environment.now - self._at_s
        self._thread_s += passed_s * self._speed
        self._busy_core_s += passed_s * min(self.cores, self._threads)
        self._at_s = self._environment.now

    def _set_alarm(self) -> None:
        """Ring when the next work ends, unless other work begins before."""
        self._alarm += 1
        if self._ends:
            wait_s = max(0.0, self._ends[0][0] - self._thread_s) / self._speed
            alarm = self._environment.timeout(min(wait_s, _NEVER_S), value=self._alarm)
            assert alarm.callbacks is not None  # noqa: S101 - only a processed event has none
            alarm.callbacks.append(self._ring)

    def _ring(self, alarm: simpy.Event) -> None:
        if alarm.value != self._alarm:  # other work has begun since, and set another
            return
        self._bring_up_to_date()
        self._thread_s = max(self._thread_s, self._ends[0][0])  # rounding must not leave the first one unfinished
        while self._ends and self._ends[0][0] <= self._thread_s:
            _, _, threads, done = heapq.heappop(self._ends)
            self._threads = self._threads - threads if self._ends else 0.0
            done.succeed()
        self._set_alarm()
