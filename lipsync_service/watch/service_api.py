"""The calls of Prefect's API that only the watcher makes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from lipsync_service.client.prefect_api import PrefectApi, connected, token_of
from lipsync_service.client.run_states import RunState
from lipsync_service.settings import Settings

#: The name of the events by which a run tells that it is alive.
HEARTBEAT = "prefect.flow-run.heartbeat"
_ID = "prefect.resource.id"
_IDS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class QueueName:
    """A queue of a work pool."""

    pool: str
    queue: str


class WatchedApi(PrefectApi):
    """Raises as PrefectApi does. May be used from several threads."""

    def history(self, run_id: UUID) -> list[RunState]:
        """All states that the run has had, the first one first."""
        rows = self._asked("GET", f"/flow_run_states/?flow_run_id={run_id}")
        states = [
            RunState(row["type"], row["name"], row["message"] or "", datetime.fromisoformat(row["timestamp"]))
            for row in rows
        ]
        return sorted(states, key=lambda state: state.since)

    def heard_since(self, run_ids: Sequence[UUID], since: datetime) -> set[UUID]:
        """Those of the runs that have sent a heartbeat since then, or whose workers have for them."""
        heard: set[UUID] = set()
        for first in range(0, len(run_ids), _IDS_AT_ONCE):
            left = {f"prefect.flow-run.{run_id}": run_id for run_id in run_ids[first : first + _IDS_AT_ONCE]}
            while left:  # a page of events may be all of one run
                wanted = {
                    "event": {"name": [HEARTBEAT]},
                    "resource": {"id": list(left)},
                    "occurred": {"since": since.isoformat()},
                    "order": "DESC",
                }
                events = self._asked("POST", "/events/filter", {"filter": wanted, "limit": _IDS_AT_ONCE})["events"]
                if not events:
                    break
                heard |= {left.pop(name) for event in events if (name := event["resource"][_ID]) in left}
        return heard

    def queues(self, pool: str) -> list[QueueName]:
        """The queues of a pool. Raises JobMissingError where there is no such pool."""
        rows = self._asked("POST", f"/work_pools/{pool}/queues/filter", {})
        return [QueueName(pool, row["name"]) for row in rows]

    def count(self, where: QueueName, state_types: Sequence[str], due_before: datetime | None = None) -> int:
        """The number of the queue's runs in these states."""
        return int(self._asked("POST", "/flow_runs/count", _runs_of(where, state_types, due_before)))

    def oldest_due(self, where: QueueName, now: datetime) -> datetime | None:
        """The due time of the run that waits longest for a worker; None where none waits."""
        order = {"sort": "EXPECTED_START_TIME_ASC", "limit": 1}
        rows = self._asked("POST", "/flow_runs/filter", _runs_of(where, ("SCHEDULED",), now) | order)
        return datetime.fromisoformat(rows[0]["expected_start_time"]) if rows else None


@contextmanager
def open_watched_api(settings: Settings, timeout_s: float) -> Iterator[WatchedApi]:
    """Prefect's API at the address of the settings; a call may take `timeout_s`."""
    with connected(settings, timeout_s) as client:
        yield WatchedApi(client, token_of(settings))


def _runs_of(where: QueueName, state_types: Sequence[str], due_before: datetime | None) -> dict[str, Any]:
    runs: dict[str, Any] = {"state": {"type": {"any_": list(state_types)}}}
    if due_before is not None:
        runs["expected_start_time"] = {"before_": due_before.isoformat()}
    return {
        "flow_runs": runs,
        "work_pools": {"name": {"any_": [where.pool]}},
        "work_pool_queues": {"name": {"any_": [where.queue]}},
    }
