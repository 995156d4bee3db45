"""Measures what the control plane of a local stack costs: idle, per job with several that wait, and per idle worker.

    python -m infra.local --root DIR --first-port 24000 up
    python benchmarks/control_plane.py --root DIR

The CPU-seconds are Linux's own account of each part of the stack with all its children (proc(5), stat). Other load on
the machine makes the same work cost more of them, so a fixed reference loop is timed beside each measurement. Requests
are counted by path where the server writes its access log: start the stack with PREFECT_SERVER_LOGGING_LEVEL=INFO.
Idle workers are stubs that listen, poll and send heartbeats as real ones do, and never take a run.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.service_overhead import distinct_copy
from infra.local.layout import BUCKET
from lipsync_service.client import LipSyncRequest, open_client
from lipsync_service.client.prefect_api import open_api
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage

_DEMO = Path(__file__).resolve().parents[1] / "demo"
_CONTROL_PLANE = ("prefect-server", "postgres")
_TICKS = os.sysconf("SC_CLK_TCK")
_POOL = "lipsync-cpu"
_REFERENCE_LOOPS = 3_000_000
_SETTLE_S = 5.0


def cpu_seconds(root: Path) -> dict[str, float]:
    """The CPU-seconds so far of each part of the stack below `root`, with its children, reaped ones included."""
    parts = {path.stem: int(json.loads(path.read_text())["pid"]) for path in (root / "run").glob("*.json")}
    parts["postgres"] = int((root / "postgres" / "postmaster.pid").read_text().split()[0])
    stats = dict(_stats())
    found = {}
    for name, pid in parts.items():
        family, total = [pid], 0.0
        while family:
            member = family.pop()
            total += stats.get(member, (0, 0.0))[1]
            family += [child for child, (parent, _) in stats.items() if parent == member]
        found[name] = total
    return found


def _stats() -> Iterator[tuple[int, tuple[int, float]]]:
    """Process id, parent's id and CPU-seconds (its own and those of its reaped children) of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(path.parent.name), (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def reference_s() -> float:
    """CPU-seconds of a fixed loop: what the machine's other load does to every figure."""
    began = time.process_time()
    total = 0
    for number in range(_REFERENCE_LOOPS):
        total += number & 7
    return time.process_time() - began


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU-seconds by part, and requests by path, of one period."""

    wall_s: float
    cpu_s: dict[str, float]
    requests: Counter[str]
    reference_s: float

    @property
    def control_plane_s(self) -> float:
        """CPU-seconds of Prefect's server and PostgreSQL."""
        return sum(self.cpu_s[name] for name in _CONTROL_PLANE)


class Stack:
    """A running local stack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for line in (root / "service.env").read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ[name] = value
        self.settings = Settings()

    @contextmanager
    def measuring(self) -> Iterator[list[Measured]]:
        """Measure the block; the list holds the one result after it."""
        found: list[Measured] = []
        log = self.root / "log" / "prefect-server.log"
        began_s, before, logged = time.monotonic(), cpu_seconds(self.root), log.stat().st_size
        yield found
        wall_s, after = time.monotonic() - began_s, cpu_seconds(self.root)
        with log.open("rb") as file:
            file.seek(logged)
            lines = file.read().decode(errors="replace")
        cpu_s = {name: after[name] - before.get(name, 0.0) for name in sorted(after)}
        found.append(Measured(wall_s, cpu_s, requests_by_path(lines), reference_s()))


def requests_by_path(log: str) -> Counter[str]:
    """The requests in lines of uvicorn's access log, with ID in the place of every id."""
    paths = re.findall(r'"([A-Z]+ [^ ?"]+)[^"]*HTTP', log)
    return Counter(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path) for path in paths)


def submitted(stack: Stack, count: int, folder: Path) -> list[UUID]:
    """Run `count` jobs with distinct videos at once, each with a caller of its own who waits; their ids."""
    storage, url = Storage(stack.settings), f"s3://{BUCKET}/benchmark"
    speech, face = folder / "speech.wav", folder / "face.mp4"
    storage.put(speech, f"{url}/speech.wav")
    requests = []
    for number in range(count):
        name = f"{uuid4()}.mp4"
        storage.put(distinct_copy(face, folder / name), f"{url}/{name}")
        output = f"{url}/out-{number}.mp4"
        requests.append(LipSyncRequest(video=f"{url}/{name}", audio=f"{url}/speech.wav", output=output, model="viseme"))

    def waited(request: LipSyncRequest) -> UUID:
        with open_client(stack.settings) as client:
            job_id = client.submit(request).job_id
            job = client.wait(job_id)
        if job.error:
            raise job.error
        return job_id

    with ThreadPoolExecutor(count) as callers:
        return list(callers.map(waited, requests))


def launches_s(stack: Stack, ids: list[UUID]) -> list[float]:
    """The times from each job's request to the start of its first task."""
    with open_api(stack.settings) as api:
        found = []
        for job_id in ids:
            first = min(task.started_at for task in api.task_runs(job_id) if task.started_at)
            found.append((first - api.run(job_id).created_at).total_seconds())
    return found


@contextmanager
def idle_workers(stack: Stack, count: int, way: str) -> Iterator[None]:
    """`count` stubs in a process of their own; `way`: they `hear`, or `poll` four times a second."""
    if not count:
        yield
        return
    command = [sys.executable, str(Path(__file__).resolve()), "--root", str(stack.root), "--be-workers", str(count)]
    stubs = subprocess.Popen([*command, "--way", way], env={**os.environ, "PREFECT_API_URL": stack.settings.api_url})
    try:
        time.sleep(_SETTLE_S + count / 10)
        yield
    finally:
        stubs.terminate()
        stubs.wait()


async def be_workers(settings: Settings, count: int, way: str) -> None:
    """Be `count` idle workers until the process is ended."""
    from benchmarks.worker_stub import WorkerStub

    await asyncio.gather(*(WorkerStub(settings.api_url, _POOL, f"stub-{i}", count).live(way) for i in range(count)))


def prepared(folder: Path, speech_s: float) -> None:
    """Put the demo's face and the first `speech_s` seconds of its speech into `folder`."""
    import wave

    (folder / "face.mp4").write_bytes((_DEMO / "face.mp4").read_bytes())
    with wave.open(str(_DEMO / "speech.wav")) as whole, wave.open(str(folder / "speech.wav"), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(speech_s * whole.getframerate())))


def print_idle(stack: Stack, seconds: float, label: str) -> None:
    """Measure and print a period without jobs."""
    with stack.measuring() as found:
        time.sleep(seconds)
    shares = {name: 100 * cpu_s / found[0].wall_s for name, cpu_s in found[0].cpu_s.items()}
    parts = "  ".join(f"{name} {share:.2f}" for name, share in shares.items())
    print(f"idle, {label}: {sum(shares.values()):.2f} % of a core ({parts}); reference {found[0].reference_s:.2f} s")


def print_jobs(stack: Stack, count: int, folder: Path, label: str) -> None:
    """Run `count` jobs at once and print what each cost the control plane."""
    with stack.measuring() as found:
        ids = submitted(stack, count, folder)
    one, launch_s = found[0], statistics.median(launches_s(stack, ids))
    asked = one.requests.total() / count
    print(
        f"{count} at once, {label}: {one.control_plane_s / count:.2f} CPU-s of server and PostgreSQL per job "
        f"({one.cpu_s['prefect-server'] / count:.2f} + {one.cpu_s['postgres'] / count:.2f}), {asked:.0f} requests per "
        f"job, first task after {launch_s:.2f} s (median), {one.wall_s:.0f} s; reference {one.reference_s:.2f} s"
    )
    for path, times in one.requests.most_common(12):
        print(f"    {times / count:6.1f}  {path}")


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(".lipsync"), help="the stack's folder")
    parser.add_argument("--idle-s", type=float, default=60.0)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2, 4, 8], help="jobs at once")
    parser.add_argument("--speech-s", type=float, default=9.3, help="shorter speech makes shorter jobs")
    parser.add_argument("--workers", type=int, nargs="*", default=[10, 50], help="idle workers beside the stack's two")
    parser.add_argument("--way", choices=("hear", "poll"), default="hear", help="how the idle workers find runs")
    parser.add_argument("--be-workers", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    stack = Stack(given.root.resolve())
    if given.be_workers:
        asyncio.run(be_workers(stack.settings, given.be_workers, given.way))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder, given.speech_s)
        submitted(stack, 1, folder)  # the first job of a stack pays for caches
        time.sleep(_SETTLE_S)
        print_idle(stack, given.idle_s, "2 workers")
        for count in given.jobs:
            print_jobs(stack, count, folder, "2 workers")
        for workers in given.workers:
            label = f"{workers} more workers that {given.way}"
            with idle_workers(stack, workers, given.way):
                print_idle(stack, given.idle_s, label)
                print_jobs(stack, 1, folder, label)


if __name__ == "__main__":
    main()
