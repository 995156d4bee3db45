"""Figures of the whole service for a collector of metrics, computed by the ledger's database at each request.

All of them count the whole ledger, so they are right after any restart and on any host.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from lipsync_service.ledger.counts import frames_by_outcome, jobs_by_error
from lipsync_service.ledger.database import open_engine, reading
from lipsync_service.ledger.tables import CallbackDelivery, Job, StageTiming

#: Upper bounds of the buckets that stage times are counted in, in seconds; one without a bound follows.
BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_LIMIT_S = 4  # for each statement: a collector gives up after ten in all
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StageFigures:
    """Wall times of one stage of the job itself, without the runs from a cache."""

    stage: str
    cached: int  # runs from a cache
    count: int
    sum_s: float
    at_most: tuple[int, ...]  # runs of at most BUCKETS_S each: cumulative


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """The ledger's figures at one moment."""

    jobs: tuple[tuple[str, str, int], ...]  # state, model, jobs
    failures: tuple[tuple[str, int], ...]  # error code, jobs
    stages: tuple[StageFigures, ...]
    frames: tuple[tuple[str, int], ...]  # outcome, frames
    callbacks: tuple[tuple[str, int], ...]  # pending, delivered, given_up
    oldest_callback: datetime | None  # when the event that waits longest became known


def ledger_figures(database_url: str) -> LedgerFigures:
    """Read all figures.

    Raises:
        LedgerUnavailableError: the database is down, slow, or has no ledger of this version.
    """
    with reading(open_engine(database_url, _LIMIT_S)) as connection:
        return _read(connection)


def _read(connection: Connection) -> LedgerFigures:
    jobs = select(Job.state, func.coalesce(Job.model, _UNKNOWN), func.count()).group_by(Job.state, Job.model)
    waiting = CallbackDelivery.next_at.is_not(None)
    state = case((waiting, "pending"), (CallbackDelivery.delivered_at.is_not(None), "delivered"), else_="given_up")
    callbacks = dict.fromkeys(("pending", "delivered", "given_up"), 0)
    for name, count in connection.execute(select(state, func.count()).group_by(state)):
        callbacks[name] = count
    oldest = select(func.min(CallbackDelivery.created_at)).where(waiting)
    return LedgerFigures(
        jobs=tuple((name, model, count) for name, model, count in connection.execute(jobs)),
        failures=jobs_by_error(connection),
        stages=_stages(connection),
        frames=frames_by_outcome(connection),
        callbacks=tuple(callbacks.items()),
        oldest_callback=connection.execute(oldest).scalar_one(),
    )


def _stages(connection: Connection) -> tuple[StageFigures, ...]:
    was_run = StageTiming.was_cached.is_(False)
    counts = [_count(StageTiming.was_cached.is_(True)), _count(was_run)]
    bounded = [_count(and_(was_run, StageTiming.wall_s <= bound_s)) for bound_s in BUCKETS_S]
    sum_s = func.sum(case((was_run, StageTiming.wall_s), else_=0.0))
    query = select(StageTiming.stage, sum_s, *counts, *bounded).where(StageTiming.part_of == "")
    return tuple(
        StageFigures(stage, cached, count, sum_s, tuple(at_most))
        for stage, sum_s, cached, count, *at_most in connection.execute(query.group_by(StageTiming.stage))
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
