"""Prefect's stream of events, as far as a worker needs it: which runs of its pool became due, and which were taken."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventRelatedFilter, EventResourceFilter
from prefect.events.schemas.events import ResourceSpecification

_log = logging.getLogger(__name__)
_RUN = "prefect.flow-run."
_STATE_TYPE = "prefect.state-type"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A run became due, or is no longer due."""

    run_id: UUID
    is_due: bool


async def run_events(pool_id: UUID) -> AsyncIterator[RunEvent | None]:
    """The events of the pool's runs as they happen; None after each connection, when some may have been missed.

    Never ends: a stream that breaks or is refused is opened again, after 1 to 30 s.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            async with get_events_subscriber(filter=_filter(pool_id), reconnection_attempts=0) as subscriber:
                yield None
                wait_s = _FIRST_WAIT_S
                async for event in subscriber:
                    run_id = UUID(event.resource["prefect.resource.id"].removeprefix(_RUN))
                    yield RunEvent(run_id, is_due=event.resource[_STATE_TYPE] == "SCHEDULED")
        except Exception as exc:  # the websocket's, the server's, and a bare one for a refused connection
            _log.info("no event stream, polls alone find runs now: %s: %s", type(exc).__name__, exc)
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _filter(pool_id: UUID) -> EventFilter:
    """Only state changes of this pool's runs that make them due or take them; the names of such states differ."""
    states = ResourceSpecification({_STATE_TYPE: ["SCHEDULED", "PENDING", "CANCELLED"]})
    return EventFilter(
        resource=EventResourceFilter(id_prefix=[_RUN], labels=states),
        related=EventRelatedFilter(id=[f"prefect.work-pool.{pool_id}"]),
    )
