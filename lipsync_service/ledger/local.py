"""Records jobs of the command line in a ledger of their own: one call when a job has ended."""

import hashlib
import importlib.metadata
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from alembic.util.exc import CommandError

from lipsync_core.report import JobReport
from lipsync_service.ledger.database import parse_url, upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobAttempt, JobRow, JobState, frame_rows, stage_rows, state_after
from lipsync_service.result_facts import joined

POOL = "local"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalLedger:
    """The ledger of the command line: a database that is made when it is first needed, and a spool.

    Raises:
        OptionError: the ledger's address cannot be used.
    """

    database_url: str
    spool_dir: Path

    def __post_init__(self) -> None:
        parse_url(self.database_url)

    @classmethod
    def beside(cls, database_url: str, spool_dir: Path) -> "LocalLedger":
        """A ledger with a spool of its own below `spool_dir`: rows that wait for one database never reach another."""
        shown = parse_url(database_url).set(password=None).render_as_string()
        return cls(database_url, spool_dir / hashlib.sha256(shown.encode()).hexdigest()[:16])


def record_report(report: JobReport, video: Path, audio: Path, where: LocalLedger) -> UUID:
    """Record a job that was done, and return its identifier in the ledger.

    A database that is down costs the job nothing: the rows wait in the spool. Raises nothing.
    """
    attempt = JobAttempt(uuid4(), pool=POOL)
    job = replace(_job_row(report, attempt), video_url=_named(video), audio_url=_named(audio))
    cached = "track" if report.track_was_cached else ""
    _opened(where).record(job, *stage_rows(attempt, report.stages, cached=cached), *frame_rows(attempt, report.frames))
    return attempt.job_id


def record_failure(failure: BaseException, video: Path, audio: Path, where: LocalLedger) -> UUID:
    """Record a job that failed, with its error's code, or that was stopped; otherwise as `record_report`."""
    job_id, now = uuid4(), datetime.now(UTC)
    state, error_code = state_after(failure)
    job = JobRow(
        job_id,
        attempt=1,
        state=state,
        error_code=error_code,
        video_url=_named(video),
        audio_url=_named(audio),
        version=importlib.metadata.version("lipsync"),
        finished_at=now,
        created_at=now,
        host=JobAttempt(job_id).host_name,
        pool=POOL,
    )
    _opened(where).record(job)
    return job_id


def _job_row(report: JobReport, attempt: JobAttempt) -> JobRow:
    now = datetime.now(UTC)
    started = now - timedelta(seconds=report.wall_s)
    row = JobRow(
        attempt.job_id,
        attempt.number,
        JobState.COMPLETED,
        output_url=_named(report.output),
        model=report.model,
        model_licence=report.model_licence,
        model_sha256=report.model_sha256,
        tracker=report.tracker,
        blender=report.blender,
        enhancer=report.enhancer,
        encoder=report.encoder,
        changes=joined(report.changes),
        dropped=joined(report.dropped),
        version=importlib.metadata.version("lipsync"),
        track_was_cached=report.track_was_cached,
        created_at=started,
        started_at=started,
        finished_at=now,
        wall_s=report.wall_s,
        cpu_s=report.cpu_s,
        peak_rss_bytes=report.peak_rss_bytes,
        duration_s=float(report.duration_s),
        output_bytes=report.output_bytes,
        host=attempt.host_name,
        pool=attempt.pool,
    )
    return row.with_score(report.scoring).with_provenance(report.provenance)


def _opened(where: LocalLedger) -> Ledger:
    ledger = Ledger(where.database_url, where.spool_dir)
    try:
        upgrade(where.database_url)
    except CommandError as exc:  # the schema of a newer release; it takes rows of an older one, or refuses them
        _log.warning("the ledger cannot be brought up to date: %s", exc)
    except Exception as exc:  # drivers fail in many ways; the job is done, and its rows wait
        ledger.leave_alone(exc)
    return ledger


def _named(path: Path) -> str:
    """The absolute path, for readers in other folders."""
    return str(path.absolute())
