"""When the watcher looks for ended runs: as soon as it hears of one, and seldom otherwise.

A look costs Prefect's server some 30 ms of CPU, so one each second would be most of an idle service's load.
"""

from datetime import datetime, timedelta

from lipsync_service.client.run_events import RunEvents

_SELDOM = timedelta(seconds=10)
# The server tells of a state before it answers with it.
_AFTER_NEWS = timedelta(seconds=2)


class Looks:
    """Times of looks. Until the first one, and after one that failed, every round looks."""

    def __init__(self, events: RunEvents) -> None:
        self._events = events
        self._until: datetime | None = None  # every round looks until then; None: without an end
        self._next: datetime | None = None

    def are_due(self, now: datetime) -> bool:
        """Whether this round looks."""
        if not self._events.is_open or self._until is None or self._next is None:
            return True
        return now <= self._until or now >= self._next

    def looked(self, now: datetime, is_settled: bool) -> None:
        """Note a look; not `is_settled`: it failed, or a crashed run waits to be started again."""
        self._next = now + _SELDOM
        self._until = (self._until or now) if is_settled else None

    def wait(self, limit_s: float, now: datetime) -> None:
        """Wait for the next round: until news, `limit_s` at most. `now` is the time of the round before."""
        if self._events.wait(limit_s):
            self._until = now + timedelta(seconds=limit_s) + _AFTER_NEWS

    def close(self) -> None:
        """End the subscription."""
        self._events.close()
