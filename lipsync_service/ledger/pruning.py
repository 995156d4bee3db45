"""Removes old rows of the ledger: ended jobs with all that hangs on them, if asked to, and ended callbacks."""

import weakref
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select

from lipsync_service.ledger.database import open_engine, reading, writing
from lipsync_service.ledger.rows import JobState
from lipsync_service.ledger.tables import Base, CallbackDelivery, IdempotencyKey, Job

#: The rows that one transaction removes at most.
AT_ONCE = 1000
_ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Rows of one table."""

    removed: int  # or to be removed, in a dry run
    left: int


class LedgerPruner:
    """Counts and removes the rows that ended before a moment, a thousand in each transaction.

    Every call raises LedgerUnavailableError where the database is down.
    """

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url, keeps_one=True)
        weakref.finalize(self, self._engine.dispose)

    def callbacks(self, before: datetime, is_dry: bool) -> Pruned:
        """The deliveries that were over before: delivered, or given up."""
        ended_at = func.coalesce(CallbackDelivery.delivered_at, CallbackDelivery.given_up_at)
        return self._pruned(CallbackDelivery, and_(CallbackDelivery.next_at.is_(None), ended_at < before), is_dry)

    def jobs(self, before: datetime, is_dry: bool) -> Pruned:
        """The jobs that ended before; their stages and frames go with them.

        Their idempotency keys go first: a key that outlived its job would answer for one that nobody knows.
        """
        ended = and_(Job.state.in_(_ENDED), Job.finished_at < before)
        keys = or_(
            IdempotencyKey.job_id.in_(select(Job.id).where(ended)),
            and_(IdempotencyKey.claimed_at < before, IdempotencyKey.job_id.not_in(select(Job.id))),
        )
        if not is_dry:
            self._pruned(IdempotencyKey, keys, is_dry)
        return self._pruned(Job, ended, is_dry)

    def _pruned(self, table: type[Base], which: ColumnElement[bool], is_dry: bool) -> Pruned:
        removed = 0 if is_dry else self._removed(table, which)
        count = select(func.count()).select_from(table)
        with reading(self._engine) as connection:
            over = int(connection.execute(count.where(which)).scalar_one())
            return Pruned(over if is_dry else removed, int(connection.execute(count).scalar_one()) - over)

    def _removed(self, table: type[Base], which: ColumnElement[bool]) -> int:
        [key] = table.__mapper__.primary_key
        total = 0
        while True:
            some = select(key).where(which).limit(AT_ONCE)
            with writing(self._engine) as connection:
                count = connection.execute(delete(table).where(key.in_(some))).rowcount
            total += count
            if count < AT_ONCE:
                return total
