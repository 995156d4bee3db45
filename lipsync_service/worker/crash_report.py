"""Whether a worker may report that a process of its has died: the run may have gone on without that process.

Prefect's worker (3.8.8) reports a death twice: at once, over a new connection, where the report is lost while the
server is down; and seconds or a minute later, when the run's next attempt may be at work.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import anyio
import httpx
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

Read = Callable[[UUID], Awaitable[FlowRun]]

_PATIENCE_S: Final = 120.0  # with a server that is down
_PAUSE_S: Final = 1.0
_CLOCKS: Final = timedelta(seconds=2)  # how far the clocks of two hosts may differ


async def may_report(read: Read, claimed: FlowRun) -> bool:
    """Whether the run is still in the attempt whose process has just ended; waits for a server that is down.

    `claimed` is the run as it was before that process began.
    """
    ended_at = datetime.now(UTC)
    try:
        now = await _patiently(read, claimed.id)
    except (httpx.HTTPError, ObjectNotFound):
        return True  # the report itself meets the same
    is_newer = now.state is not None and now.state.timestamp > ended_at + _CLOCKS
    return now.run_count <= claimed.run_count + 1 and not is_newer


async def _patiently(read: Read, run_id: UUID) -> FlowRun:
    limit = anyio.current_time() + _PATIENCE_S
    while True:
        try:
            return await read(run_id)
        except httpx.TransportError:
            if anyio.current_time() > limit:
                raise
        await anyio.sleep(_PAUSE_S)
