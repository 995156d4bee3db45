"""Watches a service while a load runs: running requests, memory by part, and the GPU, in a thread.

To read a process's memory takes CPU, and stops that process for as long: what is watched is slowed down by it. So the
runs, whose memory comes and goes, are read more often than the other parts, and neither takes more than a small share.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

from lipsync_cli.bench.figures import GpuPeak, Machine, MemoryPeak
from lipsync_cli.bench.machine import busy_cpu_s
from lipsync_cli.bench.parts import LocalParts
from lipsync_service.gpu_meter import GpuUse, ReadGpu

_EVERY_S = 0.5
_SHARE = 0.01  # of one core, which looking at the runs may cost at most
_OTHERS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of watching one load."""

    machine: Machine | None
    gpu: GpuPeak | None
    most_running: int


class LoadWatch:
    """Watches from `start` to `stop`.

    Args:
        parts: the processes of the service; None where it runs elsewhere.
        read_gpu: reads the GPU of this machine.
        running: tells how many requests run at this moment, where their processes cannot be seen.
    """

    def __init__(self, parts: LocalParts | None, read_gpu: ReadGpu | None, running: Callable[[], int]) -> None:
        self._parts, self._read_gpu, self._running = parts, read_gpu, running
        self._stopped = Event()
        self._thread = Thread(target=self._watch, name="load-watch", daemon=True)
        self._peaks: dict[int, MemoryPeak] = {}
        self._gpu = GpuUse()
        self._most = 0
        self._own_s = 0.0  # CPU seconds of the watching itself
        self._others_bytes = 0
        self._others_due_s = 0.0  # time.monotonic()

    def start(self) -> None:
        """Read the account of the machine, and begin to watch."""
        self._busy_s = busy_cpu_s()
        self._cpu = None if self._parts is None else self._parts.cpu(time.process_time())
        self._thread.start()

    def stop(self) -> Seen:
        """Wait until the last forked run has ended, and close the account."""
        if self._parts is not None:
            self._parts.wait_for_runs()
        self._stopped.set()
        self._thread.join()
        gpu = GpuPeak(self._gpu.mean_utilisation, self._gpu.peak_memory_bytes) if self._read_gpu else None
        if self._parts is None or self._cpu is None:
            return Seen(None, gpu, self._most)
        cpu_s = busy_cpu_s() - self._busy_s - self._own_s
        after = self._parts.cpu(time.process_time() - self._own_s)
        memory = tuple(self._peaks[running] for running in sorted(self._peaks))
        return Seen(Machine(cpu_s, after.since(self._cpu), memory), gpu, self._most)

    def _watch(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            if self._parts is not None and time.monotonic() >= self._others_due_s:
                self._cost_s(partial(self._look_at_others, self._parts))
                self._others_due_s = time.monotonic() + _OTHERS_EVERY_S
            pause_s = max(_EVERY_S, self._cost_s(self._look) / _SHARE)

    def _cost_s(self, look: Callable[[], None]) -> float:
        """Look; returns the CPU seconds that it took, which are no part of the service's account."""
        began_s = time.thread_time()
        with suppress(OSError):
            look()
        cost_s = time.thread_time() - began_s
        self._own_s += cost_s
        return cost_s

    def _look_at_others(self, parts: LocalParts) -> None:
        self._others_bytes = parts.others_bytes()

    def _look(self) -> None:
        if self._read_gpu is not None:
            self._gpu.add(self._read_gpu())
        if self._parts is None:
            self._most = max(self._most, self._running())
            return
        now = self._parts.of_jobs(self._others_bytes)
        self._most = max(self._most, now.requests)
        before = self._peaks.get(now.requests, MemoryPeak(now.requests, 0, 0, 0))
        self._peaks[now.requests] = MemoryPeak(
            now.requests,
            max(before.stack_bytes, now.stack_bytes),
            max(before.runs_bytes, now.runs_bytes),
            max(before.jobs_bytes, now.jobs_bytes),
        )
