"""Prefect's worker without two needless costs; another version of Prefect that lacks their names is noticed."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.events import clients
from prefect.events.clients import AssertingEventsClient
from prefect.runner import _flow_run_executor as executor
from prefect.settings import PREFECT_API_URL, temporary_settings

from lipsync_service.worker import trim_worker as trimmed
from lipsync_service.worker.cancelling import SharedCancellingObserver
from lipsync_service.worker.pool_worker import PoolWorker
from lipsync_service.worker.trim_worker import LateEventEmitter, remembered, trim_worker
from tests.hand_clock import HandClock


class Server:
    """Reads flows by id, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[UUID] = []

    async def read_flow(self, key: UUID) -> Flow:
        self.asked.append(key)
        return Flow(id=key, name="lipsync", labels={"asked": len(self.asked)})


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """Time goes on only where a test says so."""
    clock = HandClock()
    monkeypatch.setattr(trimmed, "time", clock)
    return clock


def test_an_answer_is_asked_for_once_and_anew_when_it_is_old(hands: HandClock) -> None:
    server, one, other = Server(), uuid4(), uuid4()
    read = remembered(server.read_flow)

    async def ask(*keys: UUID) -> list[Flow]:
        return [await read(key) for key in keys]

    asyncio.run(ask(one, one, other, one))
    assert server.asked == [one, other]
    hands.wait(9)
    asyncio.run(ask(one))
    assert server.asked == [one, other]
    hands.wait(2)
    [found] = asyncio.run(ask(one))
    assert server.asked == [one, other, one]
    assert found.labels == {"asked": 3}


@pytest.mark.usefixtures("hands")
def test_each_answer_is_a_copy_of_its_own() -> None:
    server, key = Server(), uuid4()
    read = remembered(server.read_flow)

    async def change_and_ask() -> Flow:
        for _ in range(2):
            (await read(key)).labels["mine"] = "changed"
        return await read(key)

    assert asyncio.run(change_and_ask()).labels == {"asked": 1}


def test_a_failed_question_is_asked_again() -> None:
    answers: Iterator[Any] = iter([ConnectionError("away"), Flow(id=uuid4(), name="lipsync")])

    async def read_flow(_key: UUID) -> Flow:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    read = remembered(read_flow)
    with pytest.raises(ConnectionError):
        asyncio.run(read(uuid4()))
    assert asyncio.run(read(uuid4())).name == "lipsync"


def test_a_stream_is_opened_for_the_event_of_a_cancelled_run_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Prefect's executor and its cancellation call it: with names."""
    AssertingEventsClient.reset()
    monkeypatch.setattr(clients, "get_events_client", AssertingEventsClient)
    run, flow = FlowRun(id=uuid4(), flow_id=uuid4(), name="a run", tags=["shot"]), Flow(id=uuid4(), name="lipsync")

    async def cancel() -> int:
        async with LateEventEmitter(runner_name="a worker", client=SimpleNamespace()) as emitter:
            opened = len(AssertingEventsClient.all)
            await emitter.emit_flow_run_cancelled(flow_run=run, flow=flow, deployment=None)
        return opened

    assert asyncio.run(cancel()) == 0
    [event] = [event for client in AssertingEventsClient.all for event in client.events]
    assert event.event == "prefect.runner.cancelled-flow-run"
    assert {f"prefect.flow-run.{run.id}", f"prefect.flow.{flow.id}"} <= {each.id for each in event.related}


@pytest.mark.parametrize(
    ("name", "part"),
    [("EventEmitter", LateEventEmitter), ("FlowRunCancellingObserver", SharedCancellingObserver)],
)
def test_runs_of_a_trimmed_worker_have_its_parts(name: str, part: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("EventEmitter", "FlowRunCancellingObserver"):
        monkeypatch.setattr(executor, each, vars(executor)[each])  # put back at the end
    trim_worker()
    assert vars(executor)[name] is part
    assert name in executor.FlowRunExecutorContext.__aenter__.__code__.co_names  # it is read from there


def test_a_worker_remembers_deployments_and_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    server, key = Server(), uuid4()
    for name in ("read_flow", "read_deployment"):
        monkeypatch.setattr(PrefectClient, name, lambda _client, key: server.read_flow(key))

    async def ask() -> None:
        async with PoolWorker(work_pool_name="lipsync-cpu") as worker:
            for read in (worker.client.read_flow, worker.client.read_deployment):
                await read(key)
                await read(key)

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        asyncio.run(ask())
    assert server.asked == [key, key]


def test_the_worker_fails_to_be_trimmed_when_prefect_has_no_such_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(executor, "EventEmitter")
    with pytest.raises(RuntimeError, match="has no EventEmitter"):
        trim_worker()
