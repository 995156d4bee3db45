"""A job of the command line in the ledger: all facts of its report, or a row that waits."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.ledger_databases import sqlalchemy  # skips all below where the extra is missing

# isort: split
from lipsync_core.clock import StageTiming
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.errors import FaceError, OptionError
from lipsync_core.report import FrameCounts, JobReport, Provenance
from lipsync_core.score_figures import Scoring
from lipsync_service.ledger.database import open_engine, upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.local import LocalLedger, record_failure, record_report
from lipsync_service.ledger.rows import JobState


@pytest.fixture
def where(tmp_path: Path) -> LocalLedger:
    return LocalLedger(f"sqlite:///{tmp_path / 'deep' / 'ledger.sqlite'}", tmp_path / "spool")


@pytest.fixture
def report(tmp_path: Path) -> JobReport:
    names = {
        "output": tmp_path / "out.mp4",
        "model": "viseme/1",
        "model_licence": "Apache-2.0",
        "model_sha256": None,
        "model_reason": "asked for",
        "tracker": "mediapipe/1",
        "blender": "feather",
        "audio": "copy (aac)",
    }
    facts: dict[str, object] = {
        "encoding": EncoderChoice("auto", "h264", "x264", "nvenc is not here"),
        "output_bytes": 1234,
        "duration_s": Fraction(28, 3),
        "width_px": 1280,
        "height_px": 720,
        "track_was_cached": True,
        "frames": FrameCounts(270, 8, 2),
        "stages": (
            StageTiming("track", 0.01, 0.01, 0),
            StageTiming("encode", 2.5, 4.5, 280),
            StageTiming("infer", 0.5, 0.9, 278, "cuda"),
        ),
        "wall_s": 3.0,
        "cpu_s": 5.0,
        "peak_rss_bytes": 200 << 20,
        "changes": ("deinterlaced", "scaled from 8000x6000 to 3542x2656"),
        "dropped": ("2 subtitle tracks",),
        "provenance": Provenance("Studio, signer"),
        "scoring": Scoring(reason="a model is missing"),
    }
    known = JobReport.__dataclass_fields__
    others = {name: None for name in known if name not in names and name not in facts}
    return JobReport(**names, **facts, **others)  # type: ignore[arg-type]


def test_a_report_is_entered_whole_into_a_ledger_made_on_the_spot(report: JobReport, where: LocalLedger) -> None:
    job_id = record_report(report, Path("face.mp4"), Path("speech.wav"), where)
    job = Ledger(where.database_url, where.spool_dir).job(job_id)
    assert job is not None
    assert (job.state, job.video_url, job.model, job.track_was_cached) == (
        JobState.COMPLETED,
        str(Path.cwd() / "face.mp4"),
        "viseme/1",
        True,
    )
    assert (job.changes, job.dropped) == ("deinterlaced; scaled from 8000x6000 to 3542x2656", "2 subtitle tracks")
    assert job.provenance == "signed by Studio, signer"
    assert job.score == "none: a model is missing"
    assert job.finished_at is not None and job.started_at is not None
    assert (job.finished_at - job.started_at).total_seconds() == pytest.approx(report.wall_s)
    with open_engine(where.database_url).connect() as connection:
        stages = connection.exec_driver_sql(
            "SELECT stage, wall_s, items, was_cached, provider FROM stage_timings"
        ).all()
        frames = connection.exec_driver_sql("SELECT sum(frames) FROM frame_outcomes").scalar_one()
    assert sorted(map(tuple, stages)) == [
        ("encode", 2.5, 280, 0, None),
        ("infer", 0.5, 278, 0, "cuda"),
        ("track", 0.01, 0, 1, None),
    ]
    assert frames == 280


def test_a_failed_job_is_entered_with_its_code(where: LocalLedger) -> None:
    job_id = record_failure(FaceError("no face"), Path("face.mp4"), Path("speech.wav"), where)
    job = Ledger(where.database_url, where.spool_dir).job(job_id)
    assert job is not None and (job.state, job.error_code) == (JobState.FAILED, "NO_FACE")


def test_the_rows_wait_when_the_database_cannot_be_opened(report: JobReport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    down = LocalLedger(f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite'}", tmp_path / "spool")
    job_id = record_report(report, Path("face.mp4"), Path("speech.wav"), down)
    up = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", tmp_path / "spool")
    upgrade(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    assert up.replay() == 8  # a job, three stages, four outcomes
    assert up.job(job_id) is not None


def test_the_rows_wait_when_the_driver_does_not_take_the_address(report: JobReport, tmp_path: Path) -> None:
    refused = LocalLedger(f"sqlite:///{tmp_path}/nul\0.sqlite", tmp_path / "spool")
    record_report(report, Path("face.mp4"), Path("speech.wav"), refused)
    assert list(refused.spool_dir.glob("*.jsonl"))


def test_the_rows_wait_when_the_database_is_of_something_else(report: JobReport, where: LocalLedger) -> None:
    Path(sqlalchemy.make_url(where.database_url).database).parent.mkdir()
    Path(sqlalchemy.make_url(where.database_url).database).write_bytes(b"this is no database" * 100)
    record_report(report, Path("face.mp4"), Path("speech.wav"), where)
    assert list(where.spool_dir.glob("*.jsonl"))


def test_a_schema_of_a_newer_release_is_left_as_it_is(report: JobReport, where: LocalLedger) -> None:
    record_report(report, Path("face.mp4"), Path("speech.wav"), where)
    with open_engine(where.database_url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'newer'")
    job_id = record_report(report, Path("face.mp4"), Path("speech.wav"), where)
    assert Ledger(where.database_url, where.spool_dir).job(job_id) is not None


@pytest.mark.parametrize(("failure", "state"), [(KeyboardInterrupt(), "cancelled"), (ValueError(), "failed")])
def test_whatever_ends_a_job_is_entered(failure: BaseException, state: str, where: LocalLedger) -> None:
    job_id = record_failure(failure, Path("face.mp4"), Path("speech.wav"), where)
    job = Ledger(where.database_url, where.spool_dir).job(job_id)
    assert job is not None and job.state == state
    assert job.error_code == (None if state == "cancelled" else "INTERNAL")


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "nothing", "postgresql://h:port/d"])
def test_a_ledger_fails_when_the_address_is_of_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        LocalLedger(url, tmp_path)
