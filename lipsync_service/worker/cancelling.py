"""Tells a worker's runs that they are to be cancelled: one stream of events for all of them.

Prefect's worker (3.8.8) opens a stream for each run, which costs a handshake, a client and a query of the database, and
asks every ten seconds for ever once a stream has failed. The worker listens to the events of its pool anyway.
"""

from collections.abc import Callable
from typing import Any, Final, Self
from uuid import UUID

_MOST_EARLY = 1000


class CancellingRuns:
    """The runs of this process that can be cancelled, and what to call for each."""

    def __init__(self) -> None:
        self._calls: dict[UUID, Callable[[UUID], None]] = {}
        self._told: set[UUID] = set()
        self._early: dict[UUID, None] = {}  # told of before their process had started, the newest last

    @property
    def untold(self) -> set[UUID]:
        """The runs that are under way and were not told yet."""
        return self._calls.keys() - self._told

    @property
    def under_way(self) -> set[UUID]:
        """The runs whose processes this process has started."""
        return set(self._calls)

    def add(self, run_id: UUID, on_cancelling: Callable[[UUID], None]) -> None:
        """Note that the process of a run has started; it may have been cancelled a moment before."""
        self._calls[run_id] = on_cancelling
        if run_id in self._early:
            self.tell(run_id)

    def remove(self, run_id: UUID) -> None:
        """Note that the process of a run has ended."""
        self._calls.pop(run_id, None)
        self._told.discard(run_id)
        self._early.pop(run_id, None)

    def tell(self, run_id: UUID) -> None:
        """Have a run cancelled, once, if it is one of this process, or as soon as it is."""
        if run_id in self.untold:
            self._told.add(run_id)
            self._calls[run_id](run_id)
        elif run_id not in self._calls:
            self._early[run_id] = None
            if len(self._early) > _MOST_EARLY:  # most are runs of other workers
                del self._early[next(iter(self._early))]

    def forget(self, run_id: UUID | None = None) -> None:
        """Forget that a run was to be cancelled before its process started: it has another state. None: all runs."""
        if run_id is None:
            self._early.clear()
        else:
            self._early.pop(run_id, None)


#: Those of this process. Prefect makes the worker, and for each run the observer below; here they meet.
CANCELLING_RUNS: Final = CancellingRuns()


class SharedCancellingObserver:
    """Takes the place of Prefect's `FlowRunCancellingObserver` for one run, and opens no stream."""

    def __init__(self, on_cancelling: Callable[[UUID], None], **_unused: Any) -> None:
        """`on_cancelling` is called with the run's id. What Prefect gives beside it belongs to streams."""
        self._on_cancelling = on_cancelling

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Leave nothing open: the run was removed when its process ended."""

    def add_in_flight_flow_run_id(self, flow_run_id: UUID) -> None:
        """Have the run told from now on."""
        CANCELLING_RUNS.add(flow_run_id, self._on_cancelling)

    def remove_in_flight_flow_run_id(self, flow_run_id: UUID) -> None:
        """Have the run told no more."""
        CANCELLING_RUNS.remove(flow_run_id)
