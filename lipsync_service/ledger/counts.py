"""Counts that both the report and the metrics take from the ledger."""

from collections import Counter

from sqlalchemy import ColumnElement, Connection, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute

from lipsync_service.ledger.rows import parted
from lipsync_service.ledger.tables import FrameOutcome, Job


def jobs_by_error(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[tuple[str, int], ...]:
    """Error codes with the number of jobs that ended with each, the most frequent first; of `conditions` on jobs."""
    query = (
        select(Job.error_code, func.count())
        .where(Job.error_code.is_not(None), *conditions)
        .group_by(Job.error_code)
        .order_by(func.count().desc(), Job.error_code)
    )
    return tuple((code or "", count) for code, count in connection.execute(query))


def jobs_by_change(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[tuple[str, int], ...]:
    """Kinds of changes to pictures with the number of jobs that made each, the most frequent first.

    The sizes of scaled pictures do not count: they would be a kind for each video.
    """
    return _jobs_by_part(connection, Job.changes, *conditions)


def jobs_by_warning(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[tuple[str, int], ...]:
    """Codes of the preflight with the number of jobs that had each, the most frequent first."""
    return _jobs_by_part(connection, Job.warnings, *conditions)


def _jobs_by_part(
    connection: Connection, column: InstrumentedAttribute[str | None], *conditions: ColumnElement[bool]
) -> tuple[tuple[str, int], ...]:
    """The parts of a `joined` column, each up to its " from ", with the number of jobs that have it."""
    query = select(column, func.count()).where(column != "", *conditions).group_by(column)
    found: Counter[str] = Counter()
    for told, count in connection.execute(query):
        for kind in {part.partition(" from ")[0] for part in parted(told or "")}:
            found[kind] += count
    return tuple(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def frames_by_outcome(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[tuple[str, int], ...]:
    """Outcomes with their output frames, of the last attempt of each job; of `conditions` on jobs."""
    query = (
        select(FrameOutcome.outcome, func.sum(FrameOutcome.frames))
        .join(Job, and_(Job.id == FrameOutcome.job_id, Job.attempt == FrameOutcome.attempt))
        .where(*conditions)
        .group_by(FrameOutcome.outcome)
        .order_by(FrameOutcome.outcome)
    )
    return tuple((outcome, int(count)) for outcome, count in connection.execute(query))
