"""Runs that became due and wait for this worker's next poll: when to poll for them, and when no longer.

Prefect's server tells of a new state before it commits the state, so the first poll comes a moment later, and is
repeated where it does not show the run. A run that another worker has taken needs no poll any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

#: Waits before the polls for one run, s; afterwards the worker's regular poll finds the run.
_WAITS_S = (0.02, 0.2, 1.0)
#: A poll takes some 30 ms: with as much time for each other worker, few poll before they hear that the run is taken.
_SPREAD_S_PER_WORKER, _LONGEST_SPREAD_S = 0.03, 1.5


def spread_s(others: int) -> float:
    """The longest wait of a worker for `others` of its pool, s: each waits for a random part of it before it polls."""
    return min(others * _SPREAD_S_PER_WORKER, _LONGEST_SPREAD_S)


class DueRuns:
    """Polls soon after a run has become due, and at once after `ring`."""

    def __init__(self, poll: Callable[[], Awaitable[set[UUID]]], delay_s: Callable[[], float]) -> None:
        """`poll` takes due runs and returns all that it saw; `delay_s` is this worker's wait in favour of others."""
        self._poll = poll
        self._delay_s = delay_s
        self._polls: dict[UUID, int] = {}  # the polls so far for each run that is due
        self._is_called = False
        self._changed = asyncio.Event()

    def add(self, run_id: UUID) -> None:
        """Note that a run is due."""
        self._polls.setdefault(run_id, 0)
        self._changed.set()

    def discard(self, run_id: UUID) -> None:
        """Note that a run is no longer due: some worker has taken it, or it was cancelled."""
        self._polls.pop(run_id, None)

    def ring(self) -> None:
        """Poll once, whatever is due."""
        self._is_called = True
        self._changed.set()

    async def serve(self) -> None:
        """Poll for the runs that are due, until the task is cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._polls or self._is_called:
                await self._poll_once()

    async def _poll_once(self) -> None:
        if not self._is_called:
            await asyncio.sleep(_WAITS_S[min(self._polls.values())] + self._delay_s())
            if not self._polls:  # another worker was faster
                return
        self._is_called = False
        asked = set(self._polls)
        found = await self._poll()
        for run_id in asked & self._polls.keys():
            self._polls[run_id] += 1
            if run_id in found or self._polls[run_id] == len(_WAITS_S):
                del self._polls[run_id]
