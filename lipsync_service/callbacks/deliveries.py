"""Deliveries: which event is to be told when, kept in the ledger's database for any watcher to go on with.

Who claims a delivery counts a try and puts the next one off for a while: a watcher that dies meanwhile loses nothing.
A claim compares the number of tries, so it is given once on either database, and no transaction waits for a receiver.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, update

from lipsync_service.callbacks.sender import JobEnd, Reply, next_try
from lipsync_service.ledger.database import open_engine, reading, writing
from lipsync_service.ledger.tables import CallbackDelivery, WatchLease
from lipsync_service.ledger.writes import insert_new

_CLAIM = timedelta(seconds=60)  # longer than any try takes
_BUSY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that somebody is to be told of."""

    event_id: UUID
    job_id: UUID
    attempt: int
    event: str
    created_at: datetime
    tries: int  # begun


class Deliveries:
    """All deliveries of a service. Every call raises LedgerUnavailableError where the database is down."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url)

    def add(self, ends: Iterable[JobEnd], now: datetime) -> None:
        """Have these ends told, at once; those that are known stay as they are."""
        for end in ends:
            row = {
                "event_id": end.event_id,
                "job_id": end.job_id,
                "attempt": end.attempt,
                "event": end.event,
                "created_at": now,
                "tries": 0,
                "next_at": now,
            }
            with writing(self._engine) as connection:
                insert_new(connection, CallbackDelivery, [row])

    def due(self, now: datetime, limit: int) -> list[Delivery]:
        """What is to be tried now, the longest waiting first."""
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
        """The delivery with this try counted; None where somebody else has it."""
        mine = and_(_is(seen), CallbackDelivery.next_at <= now)
        if not self._change(mine, tries=seen.tries + 1, next_at=now + _CLAIM):
            return None
        return Delivery(seen.event_id, seen.job_id, seen.attempt, seen.event, seen.created_at, seen.tries + 1)

    def put_back(self, claimed: Delivery, now: datetime) -> None:
        """Leave it for a moment later, untried."""
        self._change(_is(claimed), tries=claimed.tries - 1, next_at=now + _BUSY)

    def record(self, claimed: Delivery, reply: Reply, now: datetime) -> None:
        """What came of the try: delivered, to be tried again, or given up."""
        facts: dict[str, object] = {"last_status": reply.status, "last_error": reply.error_code}
        if reply.is_delivered:  # whoever has claimed it since
            self._change(
                CallbackDelivery.event_id == claimed.event_id, delivered_at=now, given_up_at=None, next_at=None, **facts
            )
            return
        next_at = None if reply.is_refused else next_try(claimed.created_at, now, claimed.tries)
        self._change(_is(claimed), next_at=next_at, given_up_at=None if next_at else now, **facts)

    def hold_lease(self, name: str, holder: UUID, now: datetime, until: datetime) -> bool:
        """Whether `holder` is from now on, or stays, the one who has the lease."""
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
    """The very delivery, unless it has been claimed since."""
    return and_(
        CallbackDelivery.event_id == seen.event_id,
        CallbackDelivery.tries == seen.tries,
        CallbackDelivery.given_up_at.is_(None),
    )
