"""Clocks that a test moves by hand, in place of the system's."""

import time


class HandClock:
    """Replaces the module `time`: `work` and `wait` move wall and CPU time, and each reading moves both by `tick_s`."""

    def __init__(self, tick_s: float = 0.0) -> None:
        self._tick_s = tick_s
        self._wall_s = 0.0
        self._cpu_s = 0.0

    def work(self, seconds: float) -> None:
        """This thread computes."""
        self._wall_s += seconds
        self._cpu_s += seconds

    def wait(self, seconds: float) -> None:
        """This thread sleeps."""
        self._wall_s += seconds

    def perf_counter(self) -> float:
        self.work(self._tick_s)
        return self._wall_s

    def monotonic(self) -> float:
        return self.perf_counter()

    def thread_time(self) -> float:
        self.work(self._tick_s)
        return self._cpu_s

    def process_time(self) -> float:
        return self.thread_time()

    def clock_gettime(self, clock_id: int) -> float:
        """Clocks of other threads are the system's."""
        return time.clock_gettime(clock_id)
