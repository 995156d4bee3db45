"""Checks `lipsync plan` against a real run: predicts the time of many jobs at once, then has the service do them.

It needs a quiet machine and the service of `make up` on it, whose folder is --root. First come a few calibration jobs,
two alone and some at once; their rows of the ledger, and the CPU-seconds of the stack's processes meanwhile, give the
costs of a job. With these the simulation predicts --jobs jobs that all come at once on this machine. Then those jobs
run, and their rows of the ledger say what was so. Each job has inputs of its own, so that no result comes from a
cache.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.local.layout import BUCKET
from lipsync_cli.bench.figures import CpuSeconds
from lipsync_cli.bench.inputs import InputPair, distinct_inputs
from lipsync_cli.bench.machine import busy_cpu_s
from lipsync_cli.bench.parts import LocalParts
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
_IDLE_S = 15.0
_ALONE = 2  # calibration jobs, each alone on the machine
_POLL_S = 2.0  # rarely, so that asking costs the service little


Request = dict[str, str]


@dataclass(frozen=True, slots=True)
class CpuAccount:
    """CPU-seconds, of the stack's processes since these began."""

    parts: CpuSeconds  # this program is their caller
    machine_s: float  # of everything on this machine

    def since(self, earlier: "CpuAccount") -> "CpuAccount":
        """What has come since `earlier`."""
        return CpuAccount(self.parts.since(earlier.parts), self.machine_s - earlier.machine_s)

    @property
    def control_s(self) -> float:
        """Of all parts but the runs: storage is the plan's control plane too."""
        return self.parts.total - self.parts.runs

    @property
    def foreign_s(self) -> float:
        """Of programs that are no part of the stack."""
        return self.machine_s - self.parts.total


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
        return CpuAccount(LocalParts(self.root).cpu(time.process_time()), busy_cpu_s())


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set of jobs took."""

    jobs_per_hour: float
    median_s: float
    p95_s: float
    wall_s: float
    cpu: CpuAccount
    rows_cpu_s: float  # of the jobs' own rows
    stages_cpu_s: float


def make_requests(service: Service, source: InputPair, count: int) -> list[Request]:
    """Requests whose inputs, no two alike, are in the service's storage."""
    with tempfile.TemporaryDirectory() as name:
        return _uploaded(service, distinct_inputs(source, Path(name), count))


def run_jobs(service: Service, requests: Sequence[Request]) -> Measured:
    """Submit these jobs at once and wait for all of them; figures from the ledger and from the processes."""
    before, began = service.cpu(), time.monotonic()
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
    LocalParts(service.root).wait_for_runs()
    return _measured(service, ids, service.cpu().since(before), time.monotonic() - began)


def _uploaded(service: Service, pairs: Sequence[InputPair]) -> list[Request]:
    storage, folder_url = Storage(service.settings), f"s3://{BUCKET}/plan-check/{uuid4()}"
    requests = []
    for number, pair in enumerate(pairs):
        urls = {kind: f"{folder_url}/{path.name}" for kind, path in (("video", pair.video), ("audio", pair.audio))}
        storage.put(pair.video, urls["video"])
        storage.put(pair.audio, urls["audio"])
        requests.append({**urls, "output": f"{folder_url}/out/{number}.mp4", "model": _MODEL})
    return requests


def _measured(service: Service, ids: list[UUID], cpu: CpuAccount, wall_s: float) -> Measured:
    with reading(open_engine(service.database_url)) as connection:
        jobs = connection.execute(select(Job.created_at, Job.finished_at, Job.cpu_s).where(Job.id.in_(ids))).all()
        cpu_s = select(StageTiming.cpu_s).where(StageTiming.job_id.in_(ids), StageTiming.part_of == "")
        stages_cpu_s = sum(connection.execute(cpu_s).scalars())
    latencies = [(job.finished_at - job.created_at).total_seconds() for job in jobs]
    span_s = (max(job.finished_at for job in jobs) - min(job.created_at for job in jobs)).total_seconds()
    median_s, p95_s = np.percentile(latencies, [50, 95])
    return Measured(
        3600 * len(jobs) / span_s,
        float(median_s),
        float(p95_s),
        wall_s,
        cpu,
        sum(job.cpu_s for job in jobs),
        stages_cpu_s,
    )


def calibrated(service: Service, requests: Sequence[Request]) -> JobCosts:
    """The costs of a job from the first two jobs alone, and the others at once."""
    began, before = datetime.now(UTC), service.cpu()
    time.sleep(_IDLE_S)
    idle = service.cpu().since(before)
    idle_cores = idle.control_s / _IDLE_S
    sets = [run_jobs(service, each) for each in (requests[:1], requests[1:_ALONE], requests[_ALONE:])]
    count = len(requests)
    runs_cpu_s = sum(each.cpu.parts.runs - each.stages_cpu_s for each in sets) / count
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
        f"{name}: {measured.wall_s:.1f} s; CPU-seconds of runs {cpu.parts.runs:.1f} (until their rows "
        f"{measured.rows_cpu_s:.1f}, stages {measured.stages_cpu_s:.1f}), of the control plane {cpu.control_s:.1f}, of "
        f"other programs {cpu.foreign_s:.1f}"
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
        source = InputPair(arguments.video, _SPEECH)
        first = _ALONE + arguments.calibration_jobs
        requests = make_requests(service, source, first + arguments.jobs)
        costs = calibrated(service, requests[:first])
        if arguments.costs:
            arguments.costs.write_text(costs_toml(costs), encoding="utf-8")
        here = Here(len(os.sched_getaffinity(0)), arguments.cpu_slots, arguments.gpu_slots)
        compare(service, requests[first:], costs, here)


def compare(service: Service, requests: Sequence[Request], costs: JobCosts, here: Here) -> None:
    """Print the prediction, the run and the errors."""
    jobs = len(requests)
    predicted = replay(jobs, costs, here).simulated
    measured = run_jobs(service, requests)
    _show(f"{jobs} jobs at once", measured)
    _print_errors(predicted, measured)
    foreign = measured.cpu.foreign_s / measured.wall_s
    print(f"other programs took {foreign:.2f} of {here.cores:g} cores; with what they left, the prediction is:")
    left = replace(here, cores=here.cores - foreign, cpu_slots=here.fleet(costs).cpu.slots)
    _print_errors(replay(jobs, costs, left).simulated, measured)


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
