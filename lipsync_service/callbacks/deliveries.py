"""Deliveries: the events to send and their times, in the ledger's database, so that any watcher can go on with them.

A claim of a delivery counts a try and delays the next one: a watcher that dies after a claim loses nothing. A claim
compares the number of tries, so only one watcher gets it on either database, and no transaction waits for a receiver.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from lipsync_service.callbacks.sender import JobOutcome, Reply, next_try
from lipsync_service.ledger.database import open_engine, reading, writing
from lipsync_service.ledger.tables import CallbackDelivery, WatchLease
from lipsync_service.ledger.writes import insert_new

_CLAIM = timedelta(seconds=60)  # longer than any try takes
_BUSY = timedelta(seconds=1)
#: How long a delivery is kept after its end. Longer than watchers look back, or they would add and send it again.
KEPT = timedelta(days=30)
_MOST_PRUNED = 1000  # at a time


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to send to the caller of a job."""

    event_id: UUID
    job_id: UUID
    attempt: int
    event: str
    created_at: datetime
    tries: int  # begun


class Deliveries:
    """All deliveries of a service. Every call raises LedgerUnavailableError where the database is down."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url, keeps_one=True)  # the watcher asks every second
        weakref.finalize(self, self._engine.dispose)

    def add(self, outcomes: Iterable[JobOutcome], now: datetime) -> None:
        """Add a delivery for each outcome, due at once; deliveries that exist stay as they are."""
        for outcome in outcomes:
            row = {
                "event_id": outcome.event_id,
                "job_id": outcome.job_id,
                "attempt": outcome.attempt,
                "event": outcome.event,
                "created_at": now,
                "tries": 0,
                "next_at": now,
            }
            with writing(self._engine) as connection:
                insert_new(connection, CallbackDelivery, [row])

    def due(self, now: datetime, limit: int) -> list[Delivery]:
        """The deliveries to try now, the longest waiting first."""
        names = (column.name for column in CallbackDelivery.__table__.columns if column.name in Delivery.__slots__)
        query = (
            select(*(CallbackDelivery.__table__.c[name] for name in names))
            .where(CallbackDelivery.next_at <= now)
            .order_by(CallbackDelivery.next_at)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [Delivery(**row._mapping) for row in connection.execute(query)]

    def claim(self, seen: Delivery, now: datetime) -> Delivery | None:
        """The delivery with this try counted; None where another watcher has it."""
        mine = and_(_is(seen), CallbackDelivery.next_at <= now)
        if not self._change(mine, tries=seen.tries + 1, next_at=now + _CLAIM):
            return None
        return Delivery(seen.event_id, seen.job_id, seen.attempt, seen.event, seen.created_at, seen.tries + 1)

    def put_back(self, claimed: Delivery, now: datetime) -> None:
        """Give the delivery back untried, due again in a moment."""
        self._change(_is(claimed), tries=claimed.tries - 1, next_at=now + _BUSY)

    def record(self, claimed: Delivery, reply: Reply, now: datetime) -> None:
        """Record the result of a try: delivered, to be tried again, or given up."""
        facts: dict[str, object] = {"last_status": reply.status, "last_error": reply.error_code}
        if reply.is_delivered:  # even if another watcher has claimed it since
            self._change(
                CallbackDelivery.event_id == claimed.event_id, delivered_at=now, given_up_at=None, next_at=None, **facts
            )
            return
        next_at = None if reply.is_refused else next_try(claimed.created_at, now, claimed.tries)
        self._change(_is(claimed), next_at=next_at, given_up_at=None if next_at else now, **facts)

    def prune(self, now: datetime) -> int:
        """Delete deliveries that ended longer than `KEPT` ago, a thousand at most; returns their number."""
        ended_at = func.coalesce(CallbackDelivery.delivered_at, CallbackDelivery.given_up_at)
        old = (
            select(CallbackDelivery.event_id)
            .where(CallbackDelivery.next_at.is_(None), ended_at < now - KEPT)
            .limit(_MOST_PRUNED)
        )
        with writing(self._engine) as connection:
            return connection.execute(delete(CallbackDelivery).where(CallbackDelivery.event_id.in_(old))).rowcount

    def hold_lease(self, name: str, holder: UUID, now: datetime, until: datetime) -> bool:
        """Give `holder` the lease, or prolong it; False where another one holds it."""
        free = and_(WatchLease.name == name, or_(WatchLease.holder == holder, WatchLease.until < now))
        with writing(self._engine) as connection:
            if connection.execute(update(WatchLease).where(free).values(holder=holder, until=until)).rowcount:
                return True
            return insert_new(connection, WatchLease, [{"name": name, "holder": holder, "until": until}])

    def _change(self, which: ColumnElement[bool], **values: object) -> bool:
        open_ones = and_(which, CallbackDelivery.delivered_at.is_(None))
        with writing(self._engine) as connection:
            return connection.execute(update(CallbackDelivery).where(open_ones).values(**values)).rowcount > 0


def _is(seen: Delivery) -> ColumnElement[bool]:
    """This delivery, unless it was claimed since."""
    return and_(
        CallbackDelivery.event_id == seen.event_id,
        CallbackDelivery.tries == seen.tries,
        CallbackDelivery.given_up_at.is_(None),
    )
