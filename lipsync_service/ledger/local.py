"""Jobs of the command line in a ledger of their own, by default none: one call when a job has ended."""

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
from lipsync_service.ledger.rows import JobRow, JobState, Place, frame_rows, stage_rows, state_after

POOL = "local"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalLedger:
    """Where the command line keeps its account: a database that is made when it is first needed, and a spool.

    Raises:
        OptionError: the ledger's address cannot be used.
    """

    database_url: str
    spool_dir: Path

    def __post_init__(self) -> None:
        parse_url(self.database_url)

    @classmethod
    def beside(cls, database_url: str, spool_dir: Path) -> "LocalLedger":
        """With a spool of its own below `spool_dir`: what waits for one database is never written to another."""
        shown = parse_url(database_url).set(password=None).render_as_string()
        return cls(database_url, spool_dir / hashlib.sha256(shown.encode()).hexdigest()[:16])


def record_report(report: JobReport, video: Path, audio: Path, where: LocalLedger) -> UUID:
    """Enter a job that was done, and return the identifier that it has in the ledger.

    A database that is down costs the job nothing: the rows wait in the spool. Raises nothing.
    """
    place = Place(uuid4(), pool=POOL)
    job = replace(_job_row(report, place), video_url=_named(video), audio_url=_named(audio))
    cached = "track" if report.track_was_cached else ""
    _opened(where).record(job, *stage_rows(place, report.stages, cached=cached), *frame_rows(place, report.frames))
    return place.job_id


def record_failure(failure: BaseException, video: Path, audio: Path, where: LocalLedger) -> UUID:
    """Enter a job that failed, with its error's code, or that was stopped; as `record_report` otherwise."""
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
        host=Place(job_id).host_name,
        pool=POOL,
    )
    _opened(where).record(job)
    return job_id


def _job_row(report: JobReport, place: Place) -> JobRow:
    now = datetime.now(UTC)
    started = now - timedelta(seconds=report.wall_s)
    return JobRow(
        place.job_id,
        place.attempt,
        JobState.COMPLETED,
        output_url=_named(report.output),
        model=report.model,
        model_licence=report.model_licence,
        model_sha256=report.model_sha256,
        tracker=report.tracker,
        blender=report.blender,
        enhancer=report.enhancer,
        encoder=report.encoder,
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
        host=place.host_name,
        pool=place.pool,
    )


def _opened(where: LocalLedger) -> Ledger:
    ledger = Ledger(where.database_url, where.spool_dir)
    try:
        upgrade(where.database_url)
    except CommandError as exc:  # a newer release's schema; it takes rows of an older one, or refuses them
        _log.warning("the ledger cannot be brought up to date: %s", exc)
    except Exception as exc:  # whatever the driver makes of the address: the job is done, and its rows wait
        ledger.leave_alone(exc)
    return ledger


def _named(path: Path) -> str:
    """Where a file lies, for readers in other folders."""
    return str(path.absolute())
