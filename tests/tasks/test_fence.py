"""The fence of an attempt: it asks Prefect, whose record decides, and holds while the run is in the attempt's state."""

from uuid import UUID, uuid4

import httpx
import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from lipsync_core.errors import TransientError
from lipsync_service.errors import SupersededError
from tasks import fence as fences
from tasks.fence import Fence
from tests.hand_clock import HandClock


class Server:
    """Has one run, in a state with this id; does not answer at first."""

    def __init__(self, state_id: UUID, failures: int = 0) -> None:
        self.state_id, self.failures = state_id, failures

    def read(self, run_id: UUID) -> FlowRun:
        self.failures -= 1
        if self.failures >= 0:
            raise httpx.ConnectError("away")
        return FlowRun(id=run_id, flow_id=uuid4(), state_id=self.state_id, state=Running())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "RETRY_S", 0.0)


def test_an_attempt_has_its_job_while_the_run_is_in_its_state() -> None:
    token = uuid4()
    server = Server(token, failures=3)
    Fence(uuid4(), token, server.read).check()
    assert server.failures < 0  # it has asked until it was answered


def test_an_attempt_is_refused_when_the_run_has_another_state() -> None:
    with pytest.raises(SupersededError) as caught:
        Fence(uuid4(), uuid4(), Server(uuid4()).read).check()
    assert caught.value.code == "SUPERSEDED" and not isinstance(caught.value, TransientError)


def test_an_attempt_waits_when_nobody_says_whether_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "SERVER_LIMIT_S", 0.0)
    with pytest.raises(TransientError):
        Fence(uuid4(), uuid4(), Server(uuid4(), failures=10**9).read).check()


def test_an_answer_is_good_for_a_moment_and_not_for_a_paused_process(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    monkeypatch.setattr(fences, "time", clock)
    token = uuid4()
    server = Server(token)
    fence = Fence(uuid4(), token, server.read)
    fence.check()
    server.state_id = uuid4()
    clock.wait(9)
    fence.confirm()  # asks nobody
    clock.wait(2)
    with pytest.raises(SupersededError):
        fence.confirm()
