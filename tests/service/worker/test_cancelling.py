"""Runs of a worker are told that they are to be cancelled: each once, by the worker's one stream or by its question."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.client.schemas.objects import StateType
from prefect.runner import _flow_run_executor as executor

from lipsync_service.worker.cancelling import CANCELLING_RUNS, CancellingRuns, SharedCancellingObserver
from lipsync_service.worker.due_runs import DueRuns
from lipsync_service.worker.pool_worker import follow
from lipsync_service.worker.run_events import RunEvent
from tests.service.worker.test_run_processes import named_process

CANCELLING = "CANCELLING"


@pytest.fixture
def told() -> list[UUID]:
    """The runs that were told, in order."""
    return []


@pytest.fixture
def run_ids(told: list[UUID]) -> Iterator[list[UUID]]:
    """Two runs under way, each with an observer as Prefect makes it."""
    ids = [uuid4(), uuid4()]
    for each in ids:
        observer = SharedCancellingObserver(on_cancelling=told.append, on_failure=lambda _ids: None)
        observer.add_in_flight_flow_run_id(each)
    yield ids
    for each in ids:
        CANCELLING_RUNS.remove(each)


def test_a_run_is_told_once_and_an_ended_or_foreign_one_never(run_ids: list[UUID], told: list[UUID]) -> None:
    first, second = run_ids
    for each in (first, uuid4(), first):
        CANCELLING_RUNS.tell(each)
    SharedCancellingObserver(on_cancelling=told.append).remove_in_flight_flow_run_id(second)
    CANCELLING_RUNS.tell(second)
    assert told == [first]


def test_a_run_that_goes_again_is_told_again(run_ids: list[UUID], told: list[UUID]) -> None:
    observer = SharedCancellingObserver(on_cancelling=told.append)
    for _ in range(2):
        observer.add_in_flight_flow_run_id(run_ids[0])
        CANCELLING_RUNS.tell(run_ids[0])
        observer.remove_in_flight_flow_run_id(run_ids[0])
    assert told == 2 * run_ids[:1]


def test_a_run_that_is_cancelled_before_its_process_starts_is_told_then(told: list[UUID]) -> None:
    early, retried, missed = uuid4(), uuid4(), uuid4()
    observer = SharedCancellingObserver(on_cancelling=told.append)
    CANCELLING_RUNS.tell(missed)
    CANCELLING_RUNS.forget()
    for each in (early, retried):
        CANCELLING_RUNS.tell(each)
    CANCELLING_RUNS.forget(retried)
    for each in (early, retried, missed):
        observer.add_in_flight_flow_run_id(each)
    assert told == [early]
    for each in (early, retried, missed):
        observer.remove_in_flight_flow_run_id(each)


def test_foreign_runs_take_no_memory_for_ever() -> None:
    runs = CancellingRuns()
    foreign = [uuid4() for _ in range(3000)]
    for each in foreign:
        runs.tell(each)
    told: list[UUID] = []
    for each in foreign:
        runs.add(each, told.append)
    assert told == foreign[-1000:]


class Server:
    """Says that these runs are to be cancelled, after some failures; keeps what it was asked."""

    def __init__(self, cancelling: list[UUID], failures: int = 0) -> None:
        self._cancelling = cancelling
        self._failures = failures
        self.asked: list[set[UUID]] = []
        self.crashed: list[UUID] = []

    async def read_flow_runs(self, *, flow_run_filter: Any) -> list[SimpleNamespace]:
        self.asked.append(set(flow_run_filter.id.any_))
        assert [each.value for each in flow_run_filter.state.type.any_] == [CANCELLING, "CRASHED"]
        if len(self.asked) <= self._failures:
            raise httpx.ConnectError("away")
        cancelling = [SimpleNamespace(id=each, state_type=StateType.CANCELLING) for each in self._cancelling]
        return cancelling + [SimpleNamespace(id=each, state_type=StateType.CRASHED) for each in self.crashed]


async def no_poll() -> set[UUID]:
    """A poll that finds nothing."""
    return set()


def listened(events: list[RunEvent | None], server: Server) -> None:
    """Have a worker hear these events."""

    async def happening() -> AsyncIterator[RunEvent | None]:
        for event in events:
            yield event

    client: Any = server
    asyncio.run(follow(happening(), DueRuns(no_poll, lambda: 0.0), client))


def test_an_event_cancels_its_run(run_ids: list[UUID], told: list[UUID]) -> None:
    server = Server([])
    listened([RunEvent(run_ids[1], CANCELLING), RunEvent(run_ids[0], "PENDING")], server)
    assert told == [run_ids[1]] and not server.asked


def test_a_run_that_is_due_again_is_not_cancelled_by_what_was_before(
    told: list[UUID],
) -> None:
    run_id, other = uuid4(), uuid4()
    events = [RunEvent(run_id, CANCELLING), RunEvent(other, CANCELLING), RunEvent(run_id, "SCHEDULED")]
    listened([*events], Server([]))
    observer = SharedCancellingObserver(on_cancelling=told.append)
    for each in (run_id, other):
        observer.add_in_flight_flow_run_id(each)
        observer.remove_in_flight_flow_run_id(each)
    assert told == [other]


def test_what_the_stream_missed_is_asked_for(
    run_ids: list[UUID],
    told: list[UUID],
) -> None:
    server = Server(run_ids[:1], failures=1)
    listened([None, None, None], server)
    assert told == [run_ids[0]]
    assert server.asked == [set(run_ids)] * 3  # also the one that was told: it may count as crashed by now


def test_nothing_is_asked_where_no_run_is_under_way() -> None:
    server = Server([])
    listened([None], server)
    assert server.asked == []


def test_prefects_executor_uses_the_observer_as_it_is_replaced() -> None:
    """Its names for the observer's methods, in the version that is installed."""
    names = set(executor.FlowRunExecutorContext.__aenter__.__code__.co_names)
    for constant in executor.FlowRunExecutorContext.__aenter__.__code__.co_consts:
        names |= set(getattr(constant, "co_names", ()))
    assert {"add_in_flight_flow_run_id", "remove_in_flight_flow_run_id"} <= names


def test_the_paused_process_of_a_run_that_counts_as_crashed_is_ended_and_no_other(run_ids: list[UUID]) -> None:
    with named_process(run_ids[0]) as hanging, named_process(run_ids[1]) as other:
        os.kill(hanging.pid, signal.SIGSTOP)
        server = Server([])
        listened([RunEvent(run_ids[0], "CRASHED")], server)  # by the time of the question it has begun again
        assert hanging.poll() is None
        server.crashed = [run_ids[0]]
        listened([RunEvent(run_ids[0], "CRASHED"), RunEvent(uuid4(), "CRASHED")], server)
        assert hanging.wait(timeout=30) == -signal.SIGKILL
        assert other.poll() is None
        assert server.asked == [{run_ids[0]}] * 2  # for a run without a process here nobody is asked
