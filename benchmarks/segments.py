"""Compares a long job of the service in segments with the same job as a whole: its time, and the CPU of the machine.

    python benchmarks/segments.py [--minutes 2] [--segment-s 60] [--port 17100] [--kinds one,two]

"one" is one worker with one slot, whose run renders all: what segments cost. "two" stands for two hosts with a core
each: two workers with one slot each, where every run has a core of its own, against one worker with one core. The
processes of the control plane have both cores in either case.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memory import repeated

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.service_of_its_own import BrokenService, started  # noqa: E402

_FACE, _SPEECH = (REPOSITORY / "demo" / name for name in ("face.mp4", "speech.wav"))
_LOOK_S = 0.05
_SUBMIT = "import sys; from lipsync_cli.main import main; sys.exit(main())"


def main() -> None:
    """Run the jobs and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--segment-s", type=float, default=60.0)
    parser.add_argument("--port", type=int, default=17100)
    parser.add_argument("--kinds", default="one,two")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = round(60 * given.minutes)
        files = [repeated(path, seconds, Path(folder, path.name)) for path in (_FACE, _SPEECH)]
        for kind in given.kinds.split(","):
            base = _measured(kind, 1, 0, files, given.port)
            made = _measured(kind, 2 if kind == "two" else 1, given.segment_s, files, given.port)
            for name, figures in (("whole", base), ("segments", made)):
                ratios = ", ".join(f"{figures[key] / base[key]:.3f}" for key in ("wall", "cpu"))
                print(f"{kind} {name:<9} {figures['wall']:7.1f} s, {figures['cpu']:7.1f} CPU s ({ratios})", flush=True)


def _measured(kind: str, workers: int, segment_s: float, files: list[Path], port: int) -> dict[str, float]:
    """Wall and CPU seconds of the second job: the first one leaves nothing to be done at its start."""
    environment = {"LIPSYNC_SEGMENT_S": str(segment_s), "WORKER_LIMIT": "1"}
    with started(port, **environment) as service:
        service.run("up", "--workers", str(workers))
        _submit(service, [_FACE, _SPEECH])
        with _pinned(service) if kind == "two" else _free():
            wall_s, cpu_s = time.perf_counter(), _busy_s()
            _submit(service, files)
            return {"wall": time.perf_counter() - wall_s, "cpu": _busy_s() - cpu_s}


def _submit(service: BrokenService, files: list[Path]) -> None:
    file = service.layout.root / "service.env"
    output = service.layout.root / "out.mp4"
    command = [sys.executable, "-c", _SUBMIT, "submit", *map(str, files), "-o", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*command, "--service", str(file)], check=True, env=environment, stderr=subprocess.DEVNULL)


@contextmanager
def _free() -> Iterator[None]:
    yield


@contextmanager
def _pinned(service: BrokenService) -> Iterator[None]:
    """Each run, its threads and its readers on a core of their own for the block."""
    end = threading.Event()
    thread = threading.Thread(target=_pin, args=(service, end))
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _pin(service: BrokenService, end: threading.Event) -> None:
    cores = sorted(os.sched_getaffinity(0))
    core_of: dict[int, int] = {}
    while not end.wait(_LOOK_S):
        runs = service.run_pids()
        core_of = {pid: core for pid, core in core_of.items() if pid in runs}
        for pid in runs:
            if pid not in core_of:
                taken = list(core_of.values())
                core_of[pid] = min(cores, key=taken.count)
            for each in _tasks_below(pid):
                with suppress(ProcessLookupError):
                    if os.sched_getaffinity(each) != {core_of[pid]}:
                        os.sched_setaffinity(each, {core_of[pid]})


def _tasks_below(pid: int) -> Iterator[int]:
    """The threads of a process and of its descendants."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield int(task.name)
            for child in (task / "children").read_text().split():
                yield from _tasks_below(int(child))


def _busy_s() -> float:
    """CPU seconds of the machine so far."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:8])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
