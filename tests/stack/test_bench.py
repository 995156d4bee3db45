"""A small measurement of the real service sees its jobs, its parts, and what they cost."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import httpx
import numpy as np
import pytest

from infra.local.client_env import LEDGER_FILE_NAME
from infra.local.layout import Layout
from infra.local.stack import gpu_pool
from lipsync_cli.bench.figures import Figures
from lipsync_cli.bench.form import Form, Level
from lipsync_cli.bench.inputs import InputPair, distinct_inputs
from lipsync_cli.bench.measuring import Measurement, Order
from lipsync_cli.bench.own_stack import OwnStack
from lipsync_cli.bench.parts import LocalParts
from lipsync_cli.bench.target import Target
from lipsync_service.names import CPU_POOL, GPU_FLOW, GPU_POOL, JOB_FLOW
from tests.stack.test_launch import state_of, wait_until
from tests.thorough import thorough

pytestmark = thorough

if TYPE_CHECKING:
    from tests.stack.conftest import Service

FORM = Form(
    levels=(Level(1, 1), Level(2, 2)),
    runs_between_levels=1,
    cached=(Level(1, 1),),
    workers=(),
    worker_level=Level(1, 1),
    idle_s=1.0,
    seconds=1.0,
)


def target_of(layout: Layout) -> Target:
    own = OwnStack(layout.source, layout.root, layout.first_port)
    assert (layout.root / LEDGER_FILE_NAME).is_file()
    return Target(own.settings, LocalParts(layout.root), own.database_url)


@dataclass(frozen=True)
class Measured:
    """A small measurement, and the traces that it left."""

    figures: Figures
    runs: int  # of jobs and their children, that Prefect counted
    jobs: list[tuple[bool, int, int]]  # whether the track was cached; jobs; different videos


def count_runs(service: "Service") -> int:
    """Without those that a schedule has made."""
    flows = {"flows": {"name": {"any_": [JOB_FLOW, GPU_FLOW]}}}
    return int(service.api.post("/flow_runs/count", json=flows).raise_for_status().json())


@pytest.fixture(scope="module")
def measured(service: "Service", face: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    started = count_runs(service)
    folder = tmp_path_factory.mktemp("measured")
    order = Order("quick", FORM, InputPair(face, speech), "viseme", "lipsync bench scalability", folder)
    figures = Measurement(order, target_of(service.layout), lambda step: None).figures(None)
    query = (
        "SELECT track_was_cached, count(*), count(DISTINCT video_url) FROM jobs WHERE id IN "
        "(SELECT id FROM jobs WHERE %s <> '' ORDER BY created_at DESC LIMIT 5) GROUP BY 1 ORDER BY 1"
    )
    return Measured(figures, count_runs(service) - started, service.ledger(query, "any"))


def test_a_measurement_sees_the_jobs_and_what_they_cost(measured: Measured) -> None:
    figures = measured.figures
    one, two = figures.levels
    assert [(level.requests, level.failures) for level in figures.levels] == [(1, ()), (2, ())]
    assert len(figures.baseline) == 3 and all(run.cpu_s > 0 for run in figures.baseline)
    for level in figures.levels:
        assert level.machine is not None
        parts = level.machine.parts
        assert parts.runs > parts.storage > 0 and parts.server > 0 and parts.database > 0 and parts.workers > 0
        assert parts.total <= level.machine.cpu_s * 1.2  # the kernel counts both in ticks
        assert all(peak.stack_bytes > peak.jobs_bytes > peak.runs_bytes for peak in level.machine.memory)
        assert {"track", "encode"} <= {stage.name for stage in level.stages}
    assert (one.most_running, two.most_running) == (1, 2)
    assert max(peak.runs_bytes for peak in one.machine.memory) > 20e6  # type: ignore[union-attr]
    assert figures.idle is not None and figures.idle.parts.runs < 0.01 < figures.idle.stack_bytes
    assert figures.enhancement.request_s is None or figures.enhancement.request_s > 0


def test_every_request_of_a_level_has_a_track_of_its_own_and_the_cached_ones_none(measured: Measured) -> None:
    tracks = [stage for level in measured.figures.levels for stage in level.stages if stage.name == "track"]
    assert all(stage.cpu_s > 0 for stage in tracks)
    # Newest first: one cached, three of the levels, and the first request, whose video the cached one asks for again.
    assert measured.jobs == [(False, 4, 4), (True, 1, 1)]
    assert measured.runs == 10  # each job has a child


def online(api: httpx.Client, pool: str) -> set[str]:
    workers = api.post(f"/work_pools/{pool}/workers/filter", json={}).raise_for_status().json()
    return {worker["name"] for worker in workers if worker["status"] == "ONLINE"}


def test_the_number_of_workers_is_that_of_the_option_and_no_job_is_lost(
    service: "Service", face: Path, speech: Path
) -> None:
    layout = service.layout
    stack = OwnStack(layout.source, layout.root, layout.first_port)
    pools = (CPU_POOL, GPU_POOL) if gpu_pool() else (CPU_POOL,)  # the tests' own stack has both in any case
    names = {f"worker-{pool}{number}" for pool in pools for number in ("", "-2")}
    before = service.process(f"worker-{CPU_POOL}")
    files = {"video": service.put(face, "up.mp4"), "audio": service.put(speech, "up.wav")}
    run_id = service.start({**files, "output": "s3://lipsync/up-out.mp4"})
    wait_until(lambda: state_of(service, run_id) == "RUNNING")
    try:
        stack.up(2)
        assert service.finished(run_id)["state"]["type"] == "COMPLETED"
        assert service.ledger("SELECT attempt FROM jobs WHERE id = %s", run_id) == [(1,)]
        has_stayed = service.process(f"worker-{CPU_POOL}") == before
        assert has_stayed == (GPU_POOL in pools)  # a worker's jobs go on with the pools that it was started with
        assert {name for name in service.processes() if name.startswith("worker-")} == names
        assert {f"worker-{CPU_POOL}", f"worker-{CPU_POOL}-2"} <= online(service.api, CPU_POOL)
    finally:
        service.stack("up")
    left = {name for name in service.processes() if name.startswith("worker-")}
    assert left == {f"worker-{CPU_POOL}", f"worker-{GPU_POOL}"}


def test_a_service_elsewhere_shows_the_times_of_requests_alone(
    service: "Service", face: Path, speech: Path, tmp_path: Path
) -> None:
    pairs = distinct_inputs(InputPair(face, speech), tmp_path, 1, seconds=1.0)
    far = replace(target_of(service.layout), parts=None, database_url=None)
    load = far.load(pairs, 1, "viseme")
    assert (load.requests, load.failures, load.machine, load.stages) == (1, (), None, ())
    assert load.most_running == 1 and 0 < load.median_s <= load.wall_s
    assert [note for note in far.notes if "LIPSYNC_DATABASE_URL" in note]
    assert [note for note in far.notes if "`make up`" in note]


def test_a_failed_request_is_counted_with_its_code(service: "Service", speech: Path, tmp_path: Path) -> None:
    still = tmp_path / "grey.png"
    cv2.imwrite(str(still), np.full((64, 64, 3), 128, np.uint8))
    load = target_of(service.layout).load([InputPair(still, speech)], 1, "viseme")
    assert (load.requests, load.failures, load.request_s) == (1, ("NO_FACE",), ())
