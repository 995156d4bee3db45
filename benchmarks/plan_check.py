"""Checks `lipsync plan` against a real run: predicts the time of many jobs at once, then has the service do them.

It needs a quiet machine and the service of `make up` on it, whose folder is --root. First come a few calibration jobs,
two alone and some at once; their rows of the ledger, and the CPU-seconds of the stack's processes meanwhile, give the
costs of a job. With these the simulation predicts --jobs jobs that all come at once on this machine. Then those jobs
run, and their rows of the ledger say what was so. Each job has a video of its own, so that no result comes from a
cache.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.service_overhead import distinct_copy
from lipsync_service.capacity.costs import Footprint, JobCosts, costs_toml
from lipsync_service.capacity.measured import Overhead, ledger_costs
from lipsync_service.capacity.planning import Summary, replay
from lipsync_service.capacity.sizing import Here
from lipsync_service.client.prefect_api import PrefectApi, RunOrder, open_api
from lipsync_service.ledger.database import open_engine, reading
from lipsync_service.ledger.tables import Job, StageTiming
from lipsync_service.settings import Settings, load_settings
from lipsync_service.storage.storage import Storage

_SPEECH = Path(__file__).resolve().parents[1] / "demo" / "speech.wav"
_FACE = _SPEECH.with_name("face.mp4")
_MODEL = "viseme"
_LAUNCHER = "launcher"
_IDLE_S = 15.0
_POLL_S = 2.0  # rarely, so that asking costs the service little
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuAccount:
    """CPU-seconds since the processes began."""

    runs_s: float  # of the flow runs: all that the launcher has forked
    control_s: float  # of the other processes of the stack
    machine_s: float  # of everything on this machine

    def since(self, earlier: "CpuAccount") -> "CpuAccount":
        """What has come since `earlier`."""
        return CpuAccount(
            self.runs_s - earlier.runs_s, self.control_s - earlier.control_s, self.machine_s - earlier.machine_s
        )

    @property
    def foreign_s(self) -> float:
        """Of programs that are no part of the stack."""
        return self.machine_s - self.runs_s - self.control_s


@dataclass(frozen=True, slots=True)
class Service:
    """The service under test, and where its parts are."""

    root: Path
    settings: Settings
    api: PrefectApi

    @property
    def database_url(self) -> str:
        """The ledger's address."""
        return load_settings(self.root / "ledger.env").database_url.get_secret_value()

    def cpu(self) -> CpuAccount:
        """The CPU-seconds of its processes so far, with those of their children."""
        pids = {path.stem: int(json.loads(path.read_text())["pid"]) for path in (self.root / "run").glob("*.json")}
        pids["postgres"] = int((self.root / "postgres" / "postmaster.pid").read_text().split()[0])
        trees = _cpu_of_trees(pids)
        whole = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        busy_s = (sum(whole) - whole[3] - whole[4]) / _TICKS  # less idle and iowait
        return CpuAccount(trees[_LAUNCHER], sum(trees.values()) - trees[_LAUNCHER], busy_s)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set of jobs took."""

    jobs_per_hour: float
    median_s: float
    p95_s: float
    wall_s: float
    cpu: CpuAccount
    stages_cpu_s: float


def _cpu_of_trees(roots: dict[str, int]) -> dict[str, float]:
    """User and system seconds of each process with all its descendants, ended ones included."""
    stats: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / _TICKS
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)

    def tree_s(pid: int) -> float:
        return stats.get(pid, (0, 0.0))[1] + sum(map(tree_s, children.get(pid, [])))

    return {name: tree_s(pid) for name, pid in roots.items()}


def run_jobs(service: Service, video: Path, count: int) -> Measured:
    """Submit so many jobs at once and wait for all of them; figures from the ledger and from the processes."""
    before = service.cpu()
    with tempfile.TemporaryDirectory() as name:
        requests = _uploaded(service, video, count, Path(name))
    began = time.monotonic()
    ids = [
        service.api.create_run("lipsync/lipsync", RunOrder("plan-check", {"request": each}))[0].id for each in requests
    ]
    waiting = set(ids)
    while waiting:
        time.sleep(_POLL_S)
        ended = [run for run in map(service.api.run, list(waiting)[:4]) if run.state.is_final]
        for run in ended:
            if run.state.type != "COMPLETED":
                raise SystemExit(f"the job {run.id} ended as {run.state.name}: {run.state.message}")
            waiting.discard(run.id)
    wall_s = time.monotonic() - began
    time.sleep(_POLL_S)  # for the processes of the last runs to end
    return _measured(service, ids, service.cpu().since(before), wall_s)


def _uploaded(service: Service, video: Path, count: int, folder: Path) -> list[dict[str, str]]:
    storage, folder_url = Storage(service.settings), f"{service.settings.storage_url}/plan-check"
    storage.put(_SPEECH, f"{folder_url}/{_SPEECH.name}")
    requests = []
    for _ in range(count):
        copy = distinct_copy(video, folder / f"{uuid4()}.mp4")
        storage.put(copy, f"{folder_url}/{copy.name}")
        addresses = {"video": copy.name, "audio": _SPEECH.name, "output": f"out/{copy.name}"}
        requests.append({key: f"{folder_url}/{value}" for key, value in addresses.items()} | {"model": _MODEL})
    return requests


def _measured(service: Service, ids: list[UUID], cpu: CpuAccount, wall_s: float) -> Measured:
    with reading(open_engine(service.database_url)) as connection:
        jobs = connection.execute(select(Job.created_at, Job.finished_at).where(Job.id.in_(ids))).all()
        cpu_s = select(StageTiming.cpu_s).where(StageTiming.job_id.in_(ids), StageTiming.part_of == "")
        stages_cpu_s = sum(connection.execute(cpu_s).scalars())
    latencies = [(ended - created).total_seconds() for created, ended in jobs]
    span_s = (max(ended for _, ended in jobs) - min(created for created, _ in jobs)).total_seconds()
    median_s, p95_s = np.percentile(latencies, [50, 95])
    return Measured(3600 * len(jobs) / span_s, float(median_s), float(p95_s), wall_s, cpu, stages_cpu_s)


def calibrated(service: Service, video: Path, jobs: int) -> JobCosts:
    """The costs of a job from two jobs alone and `jobs` at once."""
    began, before = datetime.now(UTC), service.cpu()
    time.sleep(_IDLE_S)
    idle = service.cpu().since(before)
    idle_cores = idle.control_s / _IDLE_S
    sets = [run_jobs(service, video, 1), run_jobs(service, video, 1), run_jobs(service, video, jobs)]
    count = jobs + 2
    runs_cpu_s = sum(each.cpu.runs_s - each.stages_cpu_s for each in sets) / count
    control_cpu_s = max(0.0, sum(each.cpu.control_s - idle_cores * each.wall_s for each in sets) / count)
    for each in sets:
        _show("calibration", each)
    footprint = Footprint(control_idle_cores=idle_cores)
    overhead = Overhead(runs_cpu_s, control_cpu_s)
    print(
        f"idle control plane: {100 * idle_cores:.1f} % of a core; beside its stages a job takes {runs_cpu_s:.1f} "
        f"CPU-seconds in its runs and {control_cpu_s:.1f} in the control plane"
    )
    costs = ledger_costs(service.database_url, _MODEL, overhead, footprint, began)
    if costs is None:
        raise SystemExit("the calibration jobs are not in the ledger")
    return costs


def _show(name: str, measured: Measured) -> None:
    cpu = measured.cpu
    print(
        f"{name}: {measured.wall_s:.1f} s; CPU-seconds of runs {cpu.runs_s:.1f} (stages {measured.stages_cpu_s:.1f}), "
        f"of the control plane {cpu.control_s:.1f}, of other programs {cpu.foreign_s:.1f}"
    )


def main() -> None:
    """Calibrate, predict, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(".lipsync"), help="the folder of the service of `make up`")
    parser.add_argument("--video", type=Path, default=_FACE, help="an MP4 with a face (default: the demo's)")
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--calibration-jobs", type=int, default=6)
    parser.add_argument("--cpu-slots", type=int, help="runs at once of the CPU pool's worker (default: as make up)")
    parser.add_argument("--gpu-slots", type=int, help="runs at once of the GPU pool's worker (default: as make up)")
    parser.add_argument("--costs", type=Path, help="write the costs of a job to this file")
    arguments = parser.parse_args()
    settings = load_settings(arguments.root / "service.env")
    with open_api(settings) as api:
        service = Service(arguments.root.resolve(), settings, api)
        costs = calibrated(service, arguments.video, arguments.calibration_jobs)
        if arguments.costs:
            arguments.costs.write_text(costs_toml(costs), encoding="utf-8")
        here = Here(len(os.sched_getaffinity(0)), arguments.cpu_slots, arguments.gpu_slots)
        compare(service, arguments, costs, here)


def compare(service: Service, arguments: argparse.Namespace, costs: JobCosts, here: Here) -> None:
    """Print the prediction, the run and the errors."""
    predicted = replay(arguments.jobs, costs, here).simulated
    measured = run_jobs(service, arguments.video, arguments.jobs)
    _show(f"{arguments.jobs} jobs at once", measured)
    _print_errors(predicted, measured)
    foreign = measured.cpu.foreign_s / measured.wall_s
    print(f"other programs took {foreign:.2f} of {here.cores:g} cores; with what they left, the prediction is:")
    _print_errors(replay(arguments.jobs, costs, replace(here, cores=here.cores - foreign)).simulated, measured)


def _print_errors(predicted: Summary, measured: Measured) -> None:
    rows = [
        ("jobs an hour", predicted.jobs_per_hour, measured.jobs_per_hour),
        ("median, s", predicted.median_s, measured.median_s),
        ("95th percentile, s", predicted.p95_s, measured.p95_s),
    ]
    print(f"{'':20} {'predicted':>10} {'measured':>10} {'error':>8}")
    for name, foretold, found in rows:
        print(f"{name:20} {foretold:10.1f} {found:10.1f} {100 * (foretold / found - 1):7.1f} %")


if __name__ == "__main__":
    main()
