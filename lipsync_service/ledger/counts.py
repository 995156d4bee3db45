"""Counts that both the report and the metrics take from the ledger."""

from sqlalchemy import ColumnElement, Connection, and_, func, select

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
