"""The timing report against the same figures computed by numpy, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from tests.ledger_databases import KINDS, fresh_database, outage  # skips all below where the extra is missing

# isort: split
from lipsync_core.errors import SigningError
from lipsync_core.report import FrameCounts, Provenance
from lipsync_service.errors import LedgerUnavailableError
from lipsync_service.ledger.database import open_engine, reading, upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobAttempt, JobRow, JobState, Row, StageRow, frame_rows
from lipsync_service.ledger.timing_report import ReportFilter, StageLine, TimingBreakdown, timing_breakdown

START = datetime(2026, 3, 1, tzinfo=UTC)
JOBS = 23
CHANGES = (
    "deinterlaced; 10 to 8 bits",
    "10 to 8 bits; scaled from 8000x6000 to 3542x2656",
    "scaled from 4000x2250 to 1280x720; mirrored",
    "10 to 8 bits",
)
SIGNATURES = (Provenance("Studio"), Provenance(), Provenance(error=SigningError("the token is locked", "unlock it")))
SCORES = tuple(1 - index / 40 for index in range(JOBS))
CACHED = 5  # jobs whose track was there already


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


@pytest.fixture(scope="module")
def seconds() -> dict[str, np.ndarray]:
    """Wall seconds by stage, one for each job."""
    random = np.random.default_rng(7)
    return {stage: random.gamma(2.0, scale, JOBS) for stage, scale in (("track", 0.5), ("blend", 2.0), ("paint", 1.0))}


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, seconds: dict[str, np.ndarray]
) -> Iterator[str]:
    """The address of a ledger that no test writes to."""
    folder = tmp_path_factory.mktemp("filled")
    with fresh_database(request.param, folder) as address:
        upgrade(address)
        Ledger(address, folder / "spool").record(*rows_of_a_day(seconds))
        yield address


def rows_of_a_day(seconds: dict[str, np.ndarray]) -> list[Row]:
    """One job an hour; the first two on another model; one that failed without any stage."""
    told: list[Row] = []
    for index in range(JOBS):
        ended = START + timedelta(hours=index)
        model = "wav2lip/1" if index < 2 else "viseme/1"
        changes = CHANGES[index] if index < len(CHANGES) else ""
        job = JobRow(
            uuid4(), 1, JobState.COMPLETED, model=model, pool="cpu", finished_at=ended, changes=changes, dropped=""
        ).with_provenance(SIGNATURES[index % len(SIGNATURES)])
        job = replace(job, sync_score=SCORES[index], score_verdict="low" if SCORES[index] < 0.75 else "passed")
        rows = [
            StageRow(
                job.job_id,
                1,
                stage,
                wall_s=float(values[index]),
                cpu_s=0.5,
                finished_at=ended,
                part_of="blend" if stage == "paint" else "",
                was_cached=stage == "track" and index >= JOBS - CACHED,
                pool="gpu" if stage == "track" else "cpu",
            )
            for stage, values in seconds.items()
        ]
        told += [job, *rows, *frame_rows(JobAttempt(job.job_id), FrameCounts(9, 1, 0))]
    failed = JobRow(uuid4(), 1, JobState.FAILED, error_code="NO_FACE", pool="cpu", finished_at=START)
    return [*told, failed]


def line(report: TimingBreakdown, stage: str) -> StageLine:
    [found] = [each for each in report.lines if each.stage == stage]
    return found


def test_median_p95_and_share_are_those_of_numpy(filled: str, seconds: dict[str, np.ndarray]) -> None:
    report = timing_breakdown(filled, ReportFilter())
    blend, track = line(report, "blend"), line(report, "track")
    assert blend.median_s == pytest.approx(np.median(seconds["blend"]))
    assert blend.p95_s == pytest.approx(np.percentile(seconds["blend"], 95))
    assert blend.share == pytest.approx(seconds["blend"].sum() / (seconds["blend"].sum() + seconds["track"].sum()))
    ran = seconds["track"][:-CACHED]
    assert (track.runs, track.cached) == (JOBS - CACHED, CACHED)
    assert track.median_s == pytest.approx(np.median(ran))
    assert track.p95_s == pytest.approx(np.percentile(ran, 95))
    assert track.share + blend.share == pytest.approx(1.0)
    assert report.total_s == pytest.approx(seconds["blend"].sum() + seconds["track"].sum())


def test_parts_stand_behind_their_stage_and_are_not_counted_twice(filled: str) -> None:
    report = timing_breakdown(filled, ReportFilter())
    assert [(each.stage, each.part_of) for each in report.lines] == [("blend", ""), ("paint", "blend"), ("track", "")]
    assert line(report, "paint").share < line(report, "blend").share


def test_jobs_errors_and_frames_are_counted(filled: str) -> None:
    report = timing_breakdown(filled, ReportFilter())
    assert report.jobs == JOBS + 1
    assert report.states == (("completed", JOBS), ("failed", 1))
    assert report.errors == (("NO_FACE", 1),)
    assert report.outcomes == (
        ("passed_covered", 0),
        ("passed_low_score", 0),
        ("passed_no_face", JOBS),
        ("synced", 9 * JOBS),
    )
    assert report.changes == (("10 to 8 bits", 3), ("scaled", 2), ("deinterlaced", 1), ("mirrored", 1))
    assert (report.first, report.last) == (START, START + timedelta(hours=JOBS - 1))


def test_signatures_are_counted_and_scores_are_told_by_model(filled: str) -> None:
    report = timing_breakdown(filled, ReportFilter())
    assert report.signatures == (("signed", 8), ("unsigned", 8), ("SIGNING_FAILED", 7))
    wav2lip, viseme = (np.array(SCORES[:2]), np.array(SCORES[2:]))
    told = {scores.model: (scores.jobs, scores.median, scores.lowest, scores.low) for scores in report.scores}
    assert told["viseme/1"] == pytest.approx((JOBS - 2, np.median(viseme), viseme.min(), (viseme < 0.75).sum()))
    assert told["wav2lip/1"] == pytest.approx((2, wav2lip.mean(), wav2lip.min(), 0))
    assert list(told) == ["viseme/1", "wav2lip/1"]


def test_a_period_holds_its_start_and_not_its_end(filled: str, seconds: dict[str, np.ndarray]) -> None:
    wanted = ReportFilter(since=START + timedelta(hours=3), until=START + timedelta(hours=6))
    report = timing_breakdown(filled, wanted)
    assert (report.jobs, line(report, "blend").runs) == (3, 3)
    assert line(report, "blend").median_s == pytest.approx(np.median(seconds["blend"][3:6]))


@pytest.mark.parametrize(("model", "jobs"), [("wav2lip", 2), ("wav2lip/1", 2), ("viseme", JOBS - 2), ("wav", 0)])
def test_a_model_is_chosen_by_name_or_by_name_and_version(filled: str, model: str, jobs: int) -> None:
    assert timing_breakdown(filled, ReportFilter(model=model)).jobs == jobs


def test_a_pool_is_chosen_by_stage(filled: str) -> None:
    report = timing_breakdown(filled, ReportFilter(pool="gpu"))
    assert [each.stage for each in report.lines] == ["track"]


def test_buckets_hold_every_job_once(filled: str, seconds: dict[str, np.ndarray]) -> None:
    report = timing_breakdown(filled, ReportFilter())
    assert sum(bucket.jobs for bucket in report.buckets) == JOBS
    assert 1 < len(report.buckets) <= 24
    blend_s = sum(dict(bucket.stages)["blend"] * bucket.jobs for bucket in report.buckets)
    assert blend_s == pytest.approx(seconds["blend"].sum())


def test_an_empty_ledger_gives_an_empty_report(url: str) -> None:
    report = timing_breakdown(url, ReportFilter())
    assert (report.jobs, report.lines, report.buckets, report.first, report.total_s) == (0, (), (), None, 0)


@pytest.mark.parametrize(("kind", "stage"), [("segment", "encode"), ("track part", "track"), ("infer part", "infer")])
def test_the_parts_of_a_job_are_one_line(kind: str, stage: str, url: str, tmp_path: Path) -> None:
    job_id = uuid4()
    rows = [StageRow(job_id, 1, f"{kind} {number}", 1.0 + number, 0.5, START, part_of=stage) for number in range(3)]
    whole = StageRow(job_id, 1, stage, 4.0, 1.5, START)
    Ledger(url, tmp_path).stages_timed([whole, *rows])
    report = timing_breakdown(url, ReportFilter())
    part = line(report, kind)
    assert (part.part_of, part.runs, part.median_s, part.total_s) == (stage, 3, 2.0, 6.0)
    assert report.total_s == 4.0  # on the wall: the segments ran side by side


def test_one_run_is_its_own_median(url: str, tmp_path: Path) -> None:
    Ledger(url, tmp_path).stages_timed([StageRow(uuid4(), 1, "track", 2.0, 1.0, START)])
    found = line(timing_breakdown(url, ReportFilter()), "track")
    assert (found.median_s, found.p95_s, found.share) == (2.0, 2.0, 1.0)


def test_the_report_fails_when_the_ledger_is_down(url: str) -> None:
    with outage(url), pytest.raises(LedgerUnavailableError, match="cannot be read"):
        timing_breakdown(url, ReportFilter())


def test_the_report_fails_when_there_is_no_ledger_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError, match=r"there is no ledger at .*ledger\.sqlite"):
        timing_breakdown(f"sqlite:///{tmp_path / 'ledger.sqlite'}", ReportFilter())
    assert list(tmp_path.iterdir()) == []


def test_a_report_waits_for_no_other_reader(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    upgrade(url)
    with reading(open_engine(url)) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM jobs")
        assert timing_breakdown(url, ReportFilter()).jobs == 0
