"""The processes of a local service: their CPU seconds and their memory, by part.

`make up` keeps a record of each process that it started in the folder `run` beside `service.env`
(`infra/local/process.py`); PostgreSQL keeps its own in `postmaster.pid`.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from lipsync_cli.bench.figures import CpuSeconds
from lipsync_service.names import CPU_POOL

_LAUNCHER = "launcher"
_PARTS = {"prefect-server": "server", "watcher": "watcher", "s3": "storage", _LAUNCHER: "workers"}
_WORKER = "worker-"
_CPU_WORKER = f"{_WORKER}{CPU_POOL}"
_DATABASE = "database"
_END_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The service at one moment; memory is the proportional set size."""

    stack_bytes: int  # of all parts and all runs
    runs_bytes: int  # of the forked runs alone
    jobs_bytes: int  # of the forked runs and their launcher
    requests: int  # that run: a worker of the CPU pool has one command for each


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part of the service with its children, at one moment; of the launcher, without the runs that it forked."""

    private_bytes: int  # proportional set size without shared memory segments
    shared_bytes: int  # the part's share of these: PostgreSQL's buffers
    descriptors: int
    threads: int


class LocalParts:
    """The processes of the service whose files lie below `root`; they may come and go."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def is_here(self) -> bool:
        """Whether the service's own processes run on this machine."""
        return any(True for _ in self._heads())

    def cpu(self, caller_s: float) -> CpuSeconds:
        """CPU seconds since each process began, those of ended children included; `caller_s` is the caller's own."""
        seconds = dict.fromkeys(("server", _DATABASE, "workers", "watcher", "storage", "runs"), 0.0)
        children = _children()
        for name, head in self._heads():
            own, below = _cpu_s(head), _tree_cpu_s(head, children)
            seconds[_part(name)] += own if name == _LAUNCHER else own + below
            seconds["runs"] += below if name == _LAUNCHER else 0.0
        return CpuSeconds(**seconds, caller=caller_s)

    def now(self) -> Moment:
        """The memory and the running requests now, all parts looked at. It costs some 40 ms of CPU."""
        return self.of_jobs(self.others_bytes())

    def others_bytes(self) -> int:
        """The memory of all parts but the launcher and its runs; two thirds of what a look at everything costs."""
        children = _children()
        processes = [
            process
            for name, head in self._heads()
            if name != _LAUNCHER
            for process in (head, *_descendants(head.pid, children))
        ]
        return sum(map(_pss_bytes, processes))

    def of_jobs(self, others_bytes: int) -> Moment:
        """The memory of the launcher and its runs, and the running requests, now; `others_bytes` is the rest."""
        runs = jobs = requests = 0
        children = _children()
        for name, head in self._heads():
            if name == _LAUNCHER:
                below = sum(_pss_bytes(each) for each in _descendants(head.pid, children))
                runs, jobs = runs + below, jobs + below + _pss_bytes(head)
            requests += len(children.get(head.pid, ())) if name.startswith(_CPU_WORKER) else 0
        return Moment(others_bytes + jobs, runs, jobs, requests)

    def sizes(self) -> dict[str, PartSize]:
        """Each part's size by the name of its record, such as `prefect-server`; one that ends meanwhile is smaller."""
        children = _children()
        return {
            name: _size([head] if name == _LAUNCHER else [head, *_descendants(head.pid, children)])
            for name, head in self._heads()
        }

    def wait_for_runs(self) -> None:
        """Wait until the forked runs have ended, 20 s at most: a run ends a moment after its job."""
        deadline_s = time.monotonic() + _END_LIMIT_S
        while self._has_runs() and time.monotonic() < deadline_s:
            time.sleep(0.2)

    def _has_runs(self) -> bool:
        children = _children()
        return any(children.get(head.pid) for name, head in self._heads() if name == _LAUNCHER)

    def _heads(self) -> Iterator[tuple[str, psutil.Process]]:
        for record in sorted((self._root / "run").glob("*.json")):
            try:
                pid = int(json.loads(record.read_text(encoding="utf-8"))["pid"])
                yield record.stem, psutil.Process(pid)
            except (OSError, ValueError, KeyError, psutil.NoSuchProcess):  # it has just ended
                continue
        try:
            pid = int((self._root / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
            yield _DATABASE, psutil.Process(pid)
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return


def _part(name: str) -> str:
    return "workers" if name.startswith(_WORKER) else _PARTS.get(name, name)


def _children() -> dict[int, list[psutil.Process]]:
    """All processes of the machine by their parent's id."""
    found: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        found.setdefault(process.info["ppid"], []).append(process)
    return found


def _descendants(pid: int, children: dict[int, list[psutil.Process]]) -> Iterator[psutil.Process]:
    for child in children.get(pid, ()):
        yield child
        yield from _descendants(child.pid, children)


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _tree_cpu_s(head: psutil.Process, children: dict[int, list[psutil.Process]]) -> float:
    """CPU seconds of all descendants, those that have ended and were waited for included."""
    total = 0.0
    for process in (head, *_descendants(head.pid, children)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.children_user + times.children_system
        total += times.user + times.system if process is not head else 0.0
    return total


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0


def _size(processes: list[psutil.Process]) -> PartSize:
    private = shared = descriptors = threads = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
            descriptors, threads = descriptors + process.num_fds(), threads + process.num_threads()
        except (OSError, psutil.Error):  # it has ended
            continue
        kilobytes = dict(line.split()[:2] for line in text.splitlines()[1:])
        segments = int(kilobytes.get("Pss_Shmem:", 0))
        shared += segments * 1024
        private += (int(kilobytes["Pss:"]) - segments) * 1024
    return PartSize(private, shared, descriptors, threads)
