"""The costs of a job from rows of a real ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.ledger_databases import MISSING  # skips all below where the extra is missing

# isort: split
pytest.importorskip("pydantic_settings", reason=MISSING)
pytest.importorskip("simpy", reason=MISSING)
from lipsync_service.capacity.costs import Footprint, JobCosts, Step
from lipsync_service.capacity.measured import Overhead, ledger_costs
from lipsync_service.errors import LedgerUnavailableError
from lipsync_service.ledger.database import upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow, JobState, Row, StageRow
from lipsync_service.names import CPU_POOL, GPU_POOL

START = datetime(2026, 3, 1, tzinfo=UTC)
OVERHEAD = Overhead(runs_cpu_s=2.0, control_cpu_s=1.0)
#: Stage, pool, begin and end in seconds since the job was due, CPU-seconds.
STAGES = (
    ("fetch audio", CPU_POOL, 1.0, 1.5, 0.0),
    ("fetch video", CPU_POOL, 1.0, 2.0, 0.0),
    ("track", GPU_POOL, 4.0, 6.0, 2.0),
    ("blend", CPU_POOL, 7.0, 11.0, 3.0),
    ("encode", CPU_POOL, 7.0, 11.0, 5.0),
)


def job_rows(
    slower: float = 1.0,
    attempt: int = 1,
    pool: str = CPU_POOL,
    is_cached: bool = False,
    provider: str = "cpu",
    gpu_pool: str = GPU_POOL,
    clip_s: float = 10.0,
    stages: Sequence[tuple[str, str, float, float, float]] = STAGES,
) -> list[Row]:
    """One completed job of 10 s, all of whose times are `slower` times as long."""
    ended = START + timedelta(seconds=12.0 * slower)
    job = JobRow(
        uuid4(), attempt, JobState.COMPLETED, model="viseme/1", pool=pool, created_at=START, started_at=START,
        finished_at=ended, duration_s=clip_s, cpu_s=13.0,
    )  # fmt: skip
    rows: list[Row] = [job]
    pools = {CPU_POOL: CPU_POOL, GPU_POOL: gpu_pool}
    for stage, on_pool, begin, end, cpu_s in stages:
        at = START + timedelta(seconds=end * slower)
        rows.append(
            StageRow(
                job.job_id, attempt, stage, (end - begin) * slower, cpu_s, at, pool=pools[on_pool],
                was_cached=is_cached and stage == "track", provider=provider if stage == "track" else None,
            )
        )  # fmt: skip
    return rows


def costs_of(tmp_path: Path, *jobs: list[Row]) -> JobCosts | None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    upgrade(url)
    Ledger(url, tmp_path / "spool").record(*(row for job in jobs for row in job))
    return ledger_costs(url, "viseme", OVERHEAD, Footprint())


def steps_of(costs: JobCosts | None) -> dict[str, Step]:
    assert costs is not None
    return {step.name: step for step in costs.steps}


def test_stages_and_the_gaps_between_them_become_steps(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, *(job_rows() for _ in range(3)))
    steps = steps_of(costs)
    assert list(steps) == [
        "start", "fetch", "start on the GPU pool", "track", "return to the CPU pool", "render", "between stages", "end",
    ]  # fmt: skip
    assert [step.pool for step in steps.values()] == ["cpu", "cpu", "gpu", "gpu", "cpu", "cpu", "cpu", "cpu"]
    render = steps["render"]
    assert (render.cpu_s, render.threads, render.wait_s) == pytest.approx((8.0, 2.0, 0.0))
    assert (steps["fetch"].cpu_s, steps["fetch"].wait_s) == pytest.approx((0.0, 1.0))
    assert costs is not None
    assert costs.wall_s() == pytest.approx(12.0)  # a job alone lasts as long as it did


def test_the_overhead_is_shared_among_the_gaps_by_their_length(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, *(job_rows() for _ in range(3)))
    steps = steps_of(costs)
    assert steps["start on the GPU pool"].cpu_s == pytest.approx(2.0 * 2 / 5)  # 2 of 5 s
    assert costs is not None
    assert costs.control_s == pytest.approx(1.0)
    assert costs.cpu_s("cpu") + costs.cpu_s("gpu") == pytest.approx(10.0 + 2.0)


def test_a_job_that_was_one_run_says_itself_what_it_took_beside_its_stages(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, *(job_rows(gpu_pool=CPU_POOL) for _ in range(3)))
    steps = steps_of(costs)
    assert list(steps) == ["start", "fetch", "track", "render", "between stages", "end"]
    assert costs is not None and not costs.has_gpu_pool
    assert costs.cpu_s("cpu") == pytest.approx(13.0)  # 10 in stages
    assert costs.wall_s() == pytest.approx(12.0)  # 3 s of it between stages


def test_jobs_that_others_slowed_down_do_not_lengthen_a_step(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, *(job_rows() for _ in range(5)), job_rows(slower=4.0))
    assert costs is not None
    assert costs.wall_s() == pytest.approx(12.0)


def test_seconds_on_a_gpu_are_told_from_those_on_a_cpu(tmp_path: Path) -> None:
    steps = steps_of(costs_of(tmp_path, *(job_rows(provider="cuda") for _ in range(3))))
    assert steps["track"].gpu_s == pytest.approx(2.0)


def test_other_jobs_do_not_count(tmp_path: Path) -> None:
    others = [job_rows(is_cached=True), job_rows(pool="local"), job_rows(attempt=2)]
    assert costs_of(tmp_path, job_rows(), job_rows(), *others) is None


def test_the_crash_rate_is_the_share_of_the_attempts_that_another_followed(tmp_path: Path) -> None:
    costs = costs_of(tmp_path, *(job_rows() for _ in range(3)), job_rows(attempt=3))
    assert costs is not None
    assert costs.footprint.crash_rate == pytest.approx(2 / 6)


def test_the_preflight_and_the_signature_cost_as_much_for_a_longer_clip_and_the_score_more(tmp_path: Path) -> None:
    """They are steps of their own."""
    ends = (("score", CPU_POOL, 11.0, 11.1, 0.1), ("sign", CPU_POOL, 11.1, 11.2, 0.05))
    stages = (STAGES[0], STAGES[1], ("check", CPU_POOL, 2.0, 3.0, 0.9), *STAGES[3:], *ends)
    rows = [job_rows(gpu_pool=CPU_POOL, clip_s=clip_s, stages=stages) for clip_s in (5.0, 10.0, 15.0)]
    costs = costs_of(tmp_path, *rows)
    assert costs is not None
    longer = steps_of(costs.for_clip(10 * costs.clip_s))
    assert list(longer) == ["start", "fetch", "check", "render", "score", "sign", "between stages", "end"]
    assert [longer[name].cpu_s for name in ("check", "sign")] == pytest.approx([0.9, 0.05])
    assert longer["score"].cpu_s == pytest.approx(10 * steps_of(costs)["score"].cpu_s)


def test_reading_fails_when_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError, match="no ledger"):
        ledger_costs(f"sqlite:///{tmp_path / 'none.sqlite'}", "viseme", OVERHEAD, Footprint())
