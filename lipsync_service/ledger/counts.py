"""Counts that both the report and the metrics take from the ledger."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute

from lipsync_service.ledger.tables import FrameOutcome, Job
from lipsync_service.result_facts import parted


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


def jobs_by_signature(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[tuple[str, int], ...]:
    """`signed`, `unsigned` as was asked for, or the code of what went wrong, with the number of jobs, most first."""
    kind = case((Job.signer.is_not(None), "signed"), else_=func.coalesce(Job.signing_error, "unsigned")).label("kind")
    query = select(kind, func.count()).where(Job.provenance.is_not(None), *conditions).group_by(literal_column("kind"))
    counts = [(told, count) for told, count in connection.execute(query)]
    return tuple(sorted(counts, key=lambda entry: (-entry[1], entry[0])))


@dataclass(frozen=True, slots=True)
class ModelScores:
    """The sync scores of the results of one model."""

    model: str  # name and version
    jobs: int  # that have a score
    median: float  # 0..1
    lowest: float
    low: int  # jobs below the bound that their results were held to, delivered or not


def scores_by_model(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[ModelScores, ...]:
    """The scores of each model, in the order of their names: those of two models may be on two scales."""
    model = func.coalesce(Job.model, "").label("model")
    ranked = (
        select(
            model,
            Job.sync_score,
            Job.score_verdict,
            (2 * func.row_number().over(partition_by=model, order_by=Job.sync_score)).label("twice_rank"),
            func.count().over(partition_by=model).label("jobs"),
        )
        .where(Job.sync_score.is_not(None), *conditions)
        .subquery()
    )
    is_middle = ranked.c.twice_rank.between(ranked.c.jobs, ranked.c.jobs + 2)  # one row, or the two around the middle
    query = (
        select(
            ranked.c.model,
            func.count(),
            func.avg(case((is_middle, ranked.c.sync_score))),
            func.min(ranked.c.sync_score),
            func.sum(case((ranked.c.score_verdict.in_(("low", "refused")), 1), else_=0)),
        )
        .group_by(ranked.c.model)
        .order_by(ranked.c.model)
    )
    return tuple(ModelScores(*row) for row in connection.execute(query))


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
