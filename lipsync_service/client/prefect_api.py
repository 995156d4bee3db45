"""The calls of Prefect's REST API that the service and its callers need, typed, and without Prefect's SDK."""

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from lipsync_core.errors import OptionError
from lipsync_core.shown_text import shown_url
from lipsync_service.client.run_events import EventSource, RunEvents
from lipsync_service.client.run_states import RunState
from lipsync_service.errors import AccessDeniedError, JobMissingError, ServiceDownError
from lipsync_service.settings import Settings

_TIMEOUT_S = 30.0
_PAGE = 200  # the most rows that the server gives
_STAND_INS = "prefect.deployments."  # a task run that represents a child flow run in its parent
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})


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
    ran_s: float  # of all attempts together
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a flow run."""

    name: str
    state: str  # its name: Completed, Cached, Failed, ...
    started_at: datetime | None
    total_s: float


@dataclass(frozen=True, slots=True)
class RunQuery:
    """The runs to list, newest first. None: all of them."""

    flows: str | Sequence[str]  # one name, or several
    state_types: Sequence[str] | None = None
    due_after: datetime | None = None
    due_until: datetime | None = None
    ended_after: datetime | None = None
    parent_ids: Sequence[UUID] | None = None
    ids: Sequence[UUID] | None = None
    limit: int = _PAGE


@dataclass(frozen=True, slots=True)
class RunOrder:
    """A run to create."""

    name: str  # in the UI, where a random suffix makes it unique
    parameters: Mapping[str, Any]
    queue: str | None = None
    key: str | None = None  # Prefect's own idempotency key


class PrefectApi:
    """All calls raise ServiceDownError where the server does not answer, or gives no usable answer."""

    def __init__(self, client: httpx.Client, token: str | None = None) -> None:
        """`token` is NAME:PASSWORD for the stream of events, where the server asks for it."""
        self._client = client
        self._token = token
        self._deployments: dict[str, str] = {}  # ids by name

    def create_run(self, deployment: str, order: RunOrder) -> tuple[FlowRun, bool]:
        """A run of `deployment` ("FLOW/NAME"), and whether it is new: a key that was used before gives its earlier run.

        Raises:
            JobMissingError: the deployment is not registered.
            OptionError: the deployment refuses the parameters.
        """
        # A run of another name was there before. The status alone does not tell two simultaneous calls apart.
        name = f"{order.name}-{secrets.token_hex(4)}"
        body = {
            "name": name,
            "parameters": order.parameters,
            "work_queue_name": order.queue,
            "idempotency_key": order.key,
        }
        given = {field: value for field, value in body.items() if value is not None}
        run = _flow_run(self._asked("POST", f"/deployments/{self.deployment(deployment)}/create_flow_run", given))
        return run, run.name == name

    def deployment(self, name: str) -> str:
        """The id of the deployment "FLOW/NAME", asked for once. Raises JobMissingError where it is not registered."""
        if name not in self._deployments:
            try:
                self._deployments[name] = self._asked("GET", f"/deployments/name/{name}")["id"]
            except JobMissingError as exc:
                message = f"the service at {self._shown} has no deployment {name}"
                remedy = "register it in the folder of prefect.yaml with: prefect --no-prompt deploy --all"
                raise JobMissingError(message, remedy) from exc
        return self._deployments[name]

    def variable(self, name: str) -> Any:
        """The value of a variable of the server's; None where there is none."""
        try:
            answer = self._asked("GET", f"/variables/name/{name}")
        except JobMissingError:
            return None
        return answer.get("value") if isinstance(answer, dict) else None

    def run(self, run_id: UUID) -> FlowRun:
        """The run. Raises JobMissingError where there is none."""
        return _flow_run(self._asked("GET", f"/flow_runs/{run_id}"))

    def runs(self, query: RunQuery) -> list[FlowRun]:
        """The runs that `query` describes, newest first."""
        found: list[FlowRun] = []
        while len(found) < query.limit:
            size = min(_PAGE, query.limit - len(found))
            page = self._asked("POST", "/flow_runs/filter", _filter(query) | {"limit": size, "offset": len(found)})
            rows = [_flow_run(row) for row in page]
            found += rows
            if len(rows) < size:
                break
        return found

    def set_state(self, run_id: UUID, type_: str, name: str, message: str = "", force: bool = False) -> bool:
        """Ask for a state. False: the server's rules forbid it, which `force` overrides."""
        state = {"type": type_, "name": name, "message": message}
        answer = self._asked("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": force})
        return bool(answer["status"] == "ACCEPT")

    def replace_parameters(self, run_id: UUID, parameters: Mapping[str, Any]) -> None:
        """Give the run other parameters; those that it had are forgotten."""
        self._asked("PATCH", f"/flow_runs/{run_id}", {"parameters": parameters})

    def cancel(self, run_id: UUID, message: str = "") -> bool:
        """Have the run's worker stop it. Returns as `set_state`."""
        return self.set_state(run_id, "CANCELLING", "Cancelling", message)

    def retry(self, run_id: UUID, message: str = "", force: bool = False) -> bool:
        """Have the run start another attempt. Returns as `set_state`."""
        return self.set_state(run_id, "SCHEDULED", "AwaitingRetry", message, force)

    def artifacts(self, run_id: UUID, key: str | None = None) -> dict[str, Any]:
        """The data of the run's artifacts by key, of each key the newest; with `key`, of that key only."""
        body: dict[str, Any] = {"flow_runs": {"id": {"any_": [str(run_id)]}}, "sort": "CREATED_DESC"}
        if key is not None:
            body["artifacts"] = {"key": {"any_": [key]}}
        rows = self._asked("POST", "/artifacts/filter", body)
        return {row["key"]: row["data"] for row in reversed(rows) if row["key"]}

    def task_runs(self, *run_ids: UUID) -> list[TaskRun]:
        """The tasks of these runs, in the order in which they started."""
        body = {"flow_runs": {"id": {"any_": [str(each) for each in run_ids]}}, "sort": "EXPECTED_START_TIME_ASC"}
        rows = self._asked("POST", "/task_runs/filter", body)
        return [
            TaskRun(row["name"], row["state_name"], _time(row["start_time"]), row["total_run_time"])
            for row in rows
            if not row["task_key"].startswith(_STAND_INS)
        ]

    def events(self, flow: str, run_ids: Collection[UUID] | None, state_types: Collection[str]) -> RunEvents:
        """A subscription to these states of the flow's runs, of `run_ids` only if given. Close it after use."""
        return RunEvents(EventSource(str(self._client.base_url), self._token, flow, run_ids, state_types))

    @property
    def _shown(self) -> str:
        return shown_url(str(self._client.base_url).rstrip("/"))

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer as JSON. No message repeats the server's words, which may quote addresses with signatures."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TransportError as exc:
            message = f"the service at {self._shown} does not answer: {exc}"
            raise ServiceDownError(message, "see that it runs (make up), or name it with LIPSYNC_API_URL") from exc
        status = answer.status_code
        if status == HTTPStatus.NOT_FOUND and not path.endswith("/filter"):
            raise JobMissingError(f"the service knows no job {path.split('/')[2]}", "see: lipsync jobs list")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            message = f"the service at {self._shown} refuses these credentials"
            raise AccessDeniedError(message, "set LIPSYNC_API_AUTH to NAME:PASSWORD")
        if status in _REFUSALS:
            message = f"the service at {self._shown} does not take this request ({status})"
            raise OptionError(message, "see that it has the version of this command")
        try:
            return answer.raise_for_status().json() if status != HTTPStatus.NO_CONTENT else None
        except (httpx.HTTPStatusError, ValueError) as exc:
            message = f"the service at {self._shown} answers with status {status} and nothing usable"
            raise ServiceDownError(message, "see its log, and whether LIPSYNC_API_URL is Prefect's API") from exc


@contextmanager
def open_api(settings: Settings) -> Iterator[PrefectApi]:
    """Prefect's API at the address of the settings."""
    with connected(settings, _TIMEOUT_S) as client:
        yield PrefectApi(client, token_of(settings))


def token_of(settings: Settings) -> str | None:
    """NAME:PASSWORD, where the settings have it."""
    return settings.api_auth.get_secret_value() if settings.api_auth else None


@contextmanager
def connected(settings: Settings, timeout_s: float) -> Iterator[httpx.Client]:
    """A client of Prefect's server, with the settings' name and password; a call may take `timeout_s`."""
    secret = token_of(settings)
    auth = httpx.BasicAuth(*secret.split(":", 1)) if secret and ":" in secret else None
    with httpx.Client(base_url=settings.api_url, timeout=timeout_s, auth=auth, trust_env=False) as client:
        yield client


def _filter(query: RunQuery) -> dict[str, Any]:
    runs: dict[str, Any] = {}
    if query.state_types is not None:
        runs["state"] = {"type": {"any_": list(query.state_types)}}
    due = {"after_": query.due_after, "before_": query.due_until}  # Prefect's own bounds are inclusive
    if any(due.values()):
        runs["expected_start_time"] = {name: moment.isoformat() for name, moment in due.items() if moment}
    if query.ended_after is not None:
        runs["end_time"] = {"after_": query.ended_after.isoformat()}
    if query.parent_ids is not None:
        runs["parent_flow_run_id"] = {"any_": [str(each) for each in query.parent_ids]}
    if query.ids is not None:
        runs["id"] = {"any_": [str(each) for each in query.ids]}
    return {
        "flows": {"name": {"any_": [query.flows] if isinstance(query.flows, str) else list(query.flows)}},
        "flow_runs": runs,
        "sort": "EXPECTED_START_TIME_DESC",
    }


def _flow_run(row: Mapping[str, Any]) -> FlowRun:
    state = row["state"]
    since = _time(state["timestamp"])
    created = _time(row["created"])
    if since is None or created is None:
        raise ServiceDownError("the service has a run without times", "see that it is Prefect 3")
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
        ran_s=row["total_run_time"],
        due_at=_time(row.get("expected_start_time")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
