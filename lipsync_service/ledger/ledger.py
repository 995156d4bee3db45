"""Ledger: every job, the times of its stages and the outcomes of its frames.

Writing never fails a job and never delays it for long: rows that the database does not take at once wait in the spool.
The next process that reaches the database writes them from there, each exactly once.
"""

import logging
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from lipsync_core.errors import OptionError
from lipsync_core.report import FrameCounts
from lipsync_core.shown_text import shown_url
from lipsync_service.errors import IdempotencyConflictError
from lipsync_service.ledger.database import open_engine, reading, reason_of, unavailable
from lipsync_service.ledger.rows import (
    FrameRow,
    JobAttempt,
    JobRow,
    JobState,
    KeyRow,
    Row,
    StageRow,
    frame_rows,
    row_from_line,
    row_to_line,
)
from lipsync_service.ledger.spool import Spool
from lipsync_service.ledger.tables import KEY_CHARS
from lipsync_service.ledger.writes import claim_key, read_job, write_rows

_log = logging.getLogger(__name__)
_FAILURES = (SQLAlchemyError, OSError, ArithmeticError, ValueError)
_REPLAY_BUDGET_S = 2.0  # of a job's time, spent on rows that earlier jobs left in the spool


@dataclass(frozen=True, slots=True)
class Claim:
    """The job that an idempotency key stands for."""

    job_id: UUID
    is_new: bool  # false: an earlier job has this very request
    is_certain: bool  # false: the database was down, so an earlier job was not looked for


class Ledger:
    """One ledger at `database_url`, with rows waiting below `spool_dir` while it is down.

    After a failure the database is left alone for `retry_after_s`, so that an outage costs a job one wait, not one for
    each row. May be used from several threads and across a fork.

    Raises:
        OptionError: the address is not one of a database that the ledger knows.
    """

    def __init__(self, database_url: str, spool_dir: Path, retry_after_s: float = 30.0) -> None:
        self._engine = open_engine(database_url, keeps_one=True)
        weakref.finalize(self, self._engine.dispose)
        self._spool = Spool(spool_dir)
        self._retry_after_s = retry_after_s
        self._down_until = float("-inf")  # time.monotonic()

    def claim(self, job: JobRow) -> Claim:
        """Accept the job under its idempotency key, or find the job that has it; race-safe.

        A job without a key is always new. While the database is down the job is accepted too, without certainty.

        Raises:
            IdempotencyConflictError: the key belongs to another request.
            OptionError: the key is empty or too long.
        """
        now = datetime.now(UTC)
        job = _without_secrets(replace(job, created_at=job.created_at or now))
        if job.idempotency_key is None:
            self.record(job)
            return Claim(job.job_id, is_new=True, is_certain=True)
        wanted = KeyRow(_checked_key(job.idempotency_key), job.job_id, job.request_digest or "", now)
        held = self._claim_now(wanted, job)
        if held is None:
            self._put_aside((wanted, job))
            return Claim(job.job_id, is_new=True, is_certain=False)
        if held.request_digest != wanted.request_digest:
            raise IdempotencyConflictError(
                f"the idempotency key {wanted.key!r} belongs to job {held.job_id}, which has another request",
                "use a new key for a new request",
            )
        return Claim(held.job_id, is_new=held.job_id == job.job_id, is_certain=True)

    def job_started(self, job: JobRow) -> None:
        """Record the start of an attempt: now, unless the row has a time."""
        self.record(replace(job, state=JobState.RUNNING, started_at=job.started_at or datetime.now(UTC)))

    def job_finished(self, job: JobRow, frames: FrameCounts | None = None) -> None:
        """Record the end of an attempt in the row's state, now (unless the row has a time), with these frames."""
        attempt = JobAttempt(job.job_id, job.attempt)
        outcomes: Sequence[FrameRow] = frame_rows(attempt, frames) if frames else ()
        self.record(replace(job, finished_at=job.finished_at or datetime.now(UTC)), *outcomes)

    def stages_timed(self, rows: Sequence[StageRow]) -> None:
        """Record stages that have ended; the first row of a job, attempt, `part_of` and stage stays."""
        self.record(*rows)

    def record(self, *rows: Row) -> None:
        """Write the rows, all or none of them at once, or let them wait in the spool. Raises nothing."""
        rows = tuple(_without_secrets(row) if isinstance(row, JobRow) else row for row in rows)
        if self._write_now(rows):
            self._catch_up()
        else:
            self._put_aside(rows)

    def replay(self) -> int:
        """Write the rows that wait in the spool, of every process, and return their number.

        Raises:
            LedgerUnavailableError: the database is down; everything still waits.
        """
        with unavailable("cannot be written"):
            return self._spool.replay(self._take)

    def job(self, job_id: UUID) -> JobRow | None:
        """The job's row; None where there is none. Raises LedgerUnavailableError."""
        with reading(self._engine) as connection:
            return read_job(connection, job_id)

    def release(self) -> None:
        """Close the connection that is kept from one write to the next, before a time without any."""
        self._engine.dispose()

    def leave_alone(self, failure: Exception) -> None:
        """Leave the database, which has just failed, alone for `retry_after_s`."""
        self._down_until = time.monotonic() + self._retry_after_s
        _log.warning("the ledger is down, rows wait in %s: %s", self._spool.folder, reason_of(failure))

    def _claim_now(self, wanted: KeyRow, job: JobRow) -> KeyRow | None:
        """The claim that holds; None where the database is down."""
        if time.monotonic() < self._down_until:
            return None
        try:
            with self._engine.begin() as connection:
                held = claim_key(connection, wanted)
                if held.job_id == job.job_id and held.request_digest == wanted.request_digest:
                    write_rows(connection, [job])
        except (SQLAlchemyError, OSError) as exc:
            self.leave_alone(exc)
            return None
        return held

    def _write_now(self, rows: Sequence[Row]) -> bool:
        if time.monotonic() < self._down_until:
            return False
        try:
            self._write(rows)
        except _FAILURES as exc:
            if not _is_of_the_row(exc):
                self.leave_alone(exc)
            return False  # the replay of the spool finds a bad row
        return True

    def _write(self, rows: Sequence[Row]) -> None:
        with self._engine.begin() as connection:
            write_rows(connection, rows)

    def _put_aside(self, rows: Sequence[Row]) -> None:
        try:
            self._spool.append([row_to_line(row) for row in rows])
        except (OSError, ValueError):  # only the log remains
            _log.exception("the ledger's spool cannot be written; lost from it: %s", rows)

    def _catch_up(self) -> None:
        """Write waiting rows for a short while; after a failure they are left to the next process."""
        try:
            if not self._spool.is_empty:
                self._spool.replay(self._take, _REPLAY_BUDGET_S)
        except (SQLAlchemyError, OSError) as exc:
            self.leave_alone(exc)

    def _take(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Write the rows of the spool's lines in one transaction, or one by one where a line is bad."""
        if self._takes(lines):
            return ()
        return [line for line in lines if not self._takes([line])]

    def _takes(self, lines: Sequence[bytes]) -> bool:
        try:
            self._write([row_from_line(line) for line in lines])
        except _FAILURES as exc:
            if not _is_of_the_row(exc):
                raise
            _log.warning("the ledger refuses a row of the spool: %s", reason_of(exc))
            return False
        return True


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= KEY_CHARS or not key.isprintable():
        raise OptionError(f"an idempotency key has 1 to {KEY_CHARS} printable characters, not {len(key)}")
    return key


def _without_secrets(job: JobRow) -> JobRow:
    """The row with addresses that hold no password and no signature."""
    return replace(
        job, video_url=_shown(job.video_url), audio_url=_shown(job.audio_url), output_url=_shown(job.output_url)
    )


def _shown(url: str | None) -> str | None:
    return shown_url(url) if url is not None and "://" in url else url  # a path has nothing to hide


def _is_of_the_row(exc: Exception) -> bool:
    """The row caused the failure, not the database: waiting does not help."""
    if isinstance(exc, StatementError) and not isinstance(exc, DBAPIError):  # a value that was never sent
        return True
    return isinstance(exc, DataError | IntegrityError | ArithmeticError | ValueError)
