"""Prefect's REST API, as far as the service and its callers need it: a few typed calls, and no SDK to import."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from tasks.errors import JobMissingError, ServiceDownError
from tasks.settings import Settings

FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
#: How the state of a run is named that did nothing because another job has its idempotency key and request.
DUPLICATE = "Duplicate"
_TIMEOUT_S = 30.0
_PAGE = 200  # what the server gives at most


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands, in Prefect's words."""

    type: str  # SCHEDULED, PENDING, RUNNING, CANCELLING, PAUSED, or one of FINAL_STATES
    name: str
    message: str
    since: datetime

    @property
    def is_final(self) -> bool:
        """Nothing more will happen to the run by itself."""
        return self.type in FINAL_STATES


@dataclass(frozen=True, slots=True)
class FlowRun:
    """One run of a flow."""

    id: UUID
    name: str
    state: RunState
    parameters: Mapping[str, Any]
    attempt: int  # 0 before the first
    queue: str | None
    pool: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a flow run."""

    name: str
    state: str  # its name: Completed, Cached, Failed, ...
    started_at: datetime | None
    total_s: float


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to look at: newest first. None: all of them."""

    flow: str
    state_types: Sequence[str] | None = None
    due_after: datetime | None = None
    ended_after: datetime | None = None
    parent_id: UUID | None = None
    limit: int = _PAGE


class PrefectApi:
    """The calls. Every one of them raises ServiceDownError where the server does not answer or is broken."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def create_run(
        self, deployment: str, parameters: Mapping[str, Any], queue: str | None = None, key: str | None = None
    ) -> tuple[FlowRun, bool]:
        """A run of `deployment` ("FLOW/NAME"), and whether it is new: a key that was used before gives the run of then.

        Raises:
            JobMissingError: the deployment is not registered.
        """
        found = self._asked("GET", f"/deployments/name/{deployment}").json()
        body = {"parameters": parameters, "work_queue_name": queue, "idempotency_key": key}
        given = {name: value for name, value in body.items() if value is not None}
        answer = self._asked("POST", f"/deployments/{found['id']}/create_flow_run", given)
        return _flow_run(answer.json()), answer.status_code == HTTPStatus.CREATED

    def run(self, run_id: UUID) -> FlowRun:
        """The run. Raises JobMissingError where there is none."""
        return _flow_run(self._asked("GET", f"/flow_runs/{run_id}").json())

    def runs(self, query: RunQuery) -> list[FlowRun]:
        """The runs that `query` describes, newest first."""
        found: list[FlowRun] = []
        while len(found) < query.limit:
            size = min(_PAGE, query.limit - len(found))
            page = self._asked("POST", "/flow_runs/filter", _filter(query) | {"limit": size, "offset": len(found)})
            rows = [_flow_run(row) for row in page.json()]
            found += rows
            if len(rows) < size:
                break
        return found

    def set_state(self, run_id: UUID, type_: str, name: str, message: str = "", force: bool = False) -> bool:
        """Ask for a state; whether the server gave it, which its rules may forbid unless forced."""
        state = {"type": type_, "name": name, "message": message}
        answer = self._asked("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": force}).json()
        return bool(answer["status"] == "ACCEPT")

    def artifacts(self, run_id: UUID) -> dict[str, Any]:
        """What the run shows, by key: each artifact's data."""
        body = {"flow_runs": {"id": {"any_": [str(run_id)]}}, "sort": "CREATED_DESC"}
        rows = self._asked("POST", "/artifacts/filter", body).json()
        return {row["key"]: row["data"] for row in reversed(rows) if row["key"]}

    def task_runs(self, run_id: UUID) -> list[TaskRun]:
        """The run's tasks, in the order in which they started."""
        body = {"flow_runs": {"id": {"any_": [str(run_id)]}}, "sort": "EXPECTED_START_TIME_ASC"}
        rows = self._asked("POST", "/task_runs/filter", body).json()
        return [
            TaskRun(row["name"], row["state_name"], _time(row["start_time"]), row["total_run_time"]) for row in rows
        ]

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TransportError as exc:
            message = f"the service at {self._client.base_url} does not answer: {exc}"
            raise ServiceDownError(message, "see that it runs (make up), or name it with LIPSYNC_API_URL") from exc
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise JobMissingError(f"the service knows nothing of {path.rpartition('/')[2]}", "lipsync jobs list")
        if answer.is_error:
            raise ServiceDownError(f"the service answers {answer.status_code}: {answer.text[:200]}", "see its log")
        return answer


@contextmanager
def open_api(settings: Settings) -> Iterator[PrefectApi]:
    """Prefect's API where the settings say it is."""
    secret = settings.api_auth.get_secret_value() if settings.api_auth else None
    auth = httpx.BasicAuth(*secret.split(":", 1)) if secret and ":" in secret else None
    with httpx.Client(base_url=settings.api_url, timeout=_TIMEOUT_S, auth=auth, trust_env=False) as client:
        yield PrefectApi(client)


def _filter(query: RunQuery) -> dict[str, Any]:
    runs: dict[str, Any] = {}
    if query.state_types is not None:
        runs["state"] = {"type": {"any_": list(query.state_types)}}
    if query.due_after is not None:
        runs["expected_start_time"] = {"after_": query.due_after.isoformat()}
    if query.ended_after is not None:
        runs["end_time"] = {"after_": query.ended_after.isoformat()}
    if query.parent_id is not None:
        runs["parent_flow_run_id"] = {"any_": [str(query.parent_id)]}
    return {"flows": {"name": {"any_": [query.flow]}}, "flow_runs": runs, "sort": "EXPECTED_START_TIME_DESC"}


def _flow_run(row: Mapping[str, Any]) -> FlowRun:
    state = row["state"]
    since = _time(state["timestamp"])
    created = _time(row["created"])
    if since is None or created is None:
        raise ServiceDownError("the service tells of a run without times", "see that it is Prefect 3")
    return FlowRun(
        id=UUID(row["id"]),
        name=row["name"],
        state=RunState(state["type"], state["name"], state["message"] or "", since),
        parameters=row["parameters"],
        attempt=row["run_count"],
        queue=row["work_queue_name"],
        pool=row["work_pool_name"],
        created_at=created,
        started_at=_time(row["start_time"]),
        finished_at=_time(row["end_time"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
