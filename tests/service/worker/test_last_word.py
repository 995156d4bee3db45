"""A process that was paused leaves the state of a run that has gone on without it, and reports no crash of another."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort
from prefect.states import Completed, Crashed, Failed, Running

from lipsync_service.worker import crash_report
from lipsync_service.worker.crash_report import may_report
from lipsync_service.worker.last_word import LastWord


class Server:
    """Takes every state, and gives it a new id."""

    def __init__(self) -> None:
        self.states: list[State[Any]] = []

    def take(self, state_type: StateType) -> None:
        self.states.append(State(type=state_type, id=uuid4()))

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        return FlowRun(id=run_id, flow_id=uuid4(), state=self.states[-1])

    def proposed(self, client: "Server", state: State[Any], flow_run_id: UUID, force: bool) -> State[Any]:
        assert client is self
        self.take(state.type)
        return state.model_copy(update={"id": self.states[-1].id})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.parametrize("end", [Completed(), Failed(), Crashed()], ids=lambda state: str(state.type.value))
@pytest.mark.parametrize("now", ["CRASHED", "SCHEDULED", "RUNNING", "COMPLETED"])
def test_an_attempt_that_comes_back_leaves_the_state_of_the_run(server: Server, now: str, end: State[Any]) -> None:
    run_id = uuid4()
    last_word: Any = LastWord(server.proposed)
    last_word(server, Running(), flow_run_id=run_id)
    server.take(StateType(now))
    with pytest.raises(Abort):
        last_word(server, end, flow_run_id=run_id, force=True)
    assert server.states[-1].type == StateType(now)


@pytest.mark.parametrize("now", ["RUNNING", "CANCELLING"])
def test_an_attempt_that_has_its_run_ends_it(server: Server, now: str) -> None:
    run_id = uuid4()
    last_word: Any = LastWord(server.proposed)
    last_word(server, Running(), flow_run_id=run_id)
    if now == "CANCELLING":
        server.take(StateType.CANCELLING)
    assert last_word(server, Completed(), flow_run_id=run_id).is_completed()
    assert server.states[-1].type == StateType.COMPLETED


class Runs:
    """The run as the server has it; does not answer at first."""

    def __init__(self, run: FlowRun, failures: int = 0) -> None:
        self._run, self._failures = run, failures

    async def read(self, run_id: UUID) -> FlowRun:
        self._failures -= 1
        if self._failures >= 0:
            raise httpx.ConnectError("away")
        return self._run


@pytest.mark.parametrize(
    ("run_count", "state_age_s", "is_ours"),
    [
        pytest.param(1, 60, True, id="at work until it died"),
        pytest.param(0, 60, True, id="never began"),
        pytest.param(2, 60, False, id="another attempt"),
        pytest.param(1, -60, False, id="another state since"),
    ],
)
def test_a_crash_is_reported_only_of_the_attempt_that_died(
    monkeypatch: pytest.MonkeyPatch, run_count: int, state_age_s: float, is_ours: bool
) -> None:
    monkeypatch.setattr(crash_report, "_PAUSE_S", 0.0)
    since = datetime.now(UTC) - timedelta(seconds=state_age_s)
    now = FlowRun(flow_id=uuid4(), run_count=run_count, state=State(type=StateType.RUNNING, timestamp=since))
    claimed = FlowRun(id=now.id, flow_id=now.flow_id, run_count=0)
    assert asyncio.run(may_report(Runs(now, failures=3).read, claimed)) == is_ours
