"""Prefect's stream of events, as far as a worker needs it: which runs of its pool are due, taken, or to be ended."""

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
    """A run became due, is no longer due, is to be cancelled, or counts as crashed."""

    run_id: UUID
    state_type: str

    @property
    def is_due(self) -> bool:
        """It may be taken."""
        return self.state_type == "SCHEDULED"

    @property
    def is_cancelling(self) -> bool:
        """Its worker has to end its process."""
        return self.state_type == "CANCELLING"

    @property
    def is_crashed(self) -> bool:
        """It goes on without its process, if there still is one."""
        return self.state_type == "CRASHED"


async def run_events(pool_id: UUID) -> AsyncIterator[RunEvent | None]:
    """The events of the pool's runs as they happen; None where some may have been missed.

    That is after each connection, and after each attempt that failed: then None comes instead of events. Never ends: a
    stream that breaks or is refused is opened again, after 1 to 30 s.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            async with get_events_subscriber(filter=_filter(pool_id), reconnection_attempts=0) as subscriber:
                yield None
                wait_s = _FIRST_WAIT_S
                async for event in subscriber:
                    run_id = UUID(event.resource["prefect.resource.id"].removeprefix(_RUN))
                    yield RunEvent(run_id, event.resource[_STATE_TYPE])
        except Exception as exc:  # the websocket's, the server's, and a bare one for a refused connection
            _log.info("no event stream, polls alone find runs now: %s: %s", type(exc).__name__, exc)
        yield None
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _filter(pool_id: UUID) -> EventFilter:
    """Only state changes of this pool's runs that make them due, take them, or end their processes.

    By type: the names of such states differ.
    """
    states = ResourceSpecification({_STATE_TYPE: ["SCHEDULED", "PENDING", "CANCELLING", "CANCELLED", "CRASHED"]})
    return EventFilter(
        resource=EventResourceFilter(id_prefix=[_RUN], labels=states),
        related=EventRelatedFilter(id=[f"prefect.work-pool.{pool_id}"]),
    )
