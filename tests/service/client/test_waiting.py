"""Waiting callers ask at news; without a stream they ask by themselves; an end is never missed."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("websockets", reason="the extra service is not installed")

from lipsync_service.client.job_client import JobClient
from lipsync_service.client.prefect_api import FlowRun
from lipsync_service.client.run_events import Heard
from lipsync_service.client.run_states import RunState

JOB = uuid4()


class HandEvents:
    """A stream in the hands of a test: it wakes the caller `news` times, and never again."""

    def __init__(self, is_open: bool, news: int, newest: Heard | None = None) -> None:
        self.is_open, self.news, self._newest = is_open, news, newest
        self.waits: list[float] = []
        self.is_closed = False

    def wait(self, limit_s: float) -> bool:
        self.waits.append(limit_s)
        self.news -= 1
        return self.news >= 0

    def newest(self, run_id: UUID) -> Heard | None:
        return self._newest

    def close(self) -> None:
        self.is_closed = True


class ApiStandIn:
    """Answers with one state after the other."""

    def __init__(self, events: HandEvents, types: Iterable[str]) -> None:
        self._events, self._types = events, iter(types)
        self.asked = 0

    def events(self, *_: Any) -> HandEvents:
        return self._events

    def runs(self, _: Any) -> list[FlowRun]:
        self.asked += 1
        type_, now = next(self._types), datetime.now(UTC)
        state = RunState(type_, type_.title(), "", now)
        return [FlowRun(JOB, "job", state, {}, 1, None, None, now, now, now, 1.0)]


def waited(events: HandEvents, types: Iterable[str], **options: Any) -> ApiStandIn:
    api = ApiStandIn(events, types)
    assert JobClient(api).wait(JOB, **options).state == "completed"  # type: ignore[arg-type]
    assert events.is_closed
    return api


def test_a_caller_who_hears_does_not_ask_by_the_clock() -> None:
    events = HandEvents(is_open=True, news=2)
    assert waited(events, ["SCHEDULED", "RUNNING", "COMPLETED"]).asked == 3
    assert min(events.waits[1:]) > 10  # each pause would have lasted that long, had there been no news


def test_a_caller_who_hears_nothing_asks_again_soon() -> None:
    events = HandEvents(is_open=False, news=0)
    waited(events, ["RUNNING", "RUNNING", "COMPLETED"], poll_s=0.01)
    assert max(events.waits) < 1


def test_a_caller_who_shows_progress_asks_while_the_job_runs_and_not_while_it_waits() -> None:
    events = HandEvents(is_open=True, news=2)
    waited(events, ["SCHEDULED", "RUNNING", "COMPLETED"], watch=lambda job: None)
    _opening_s, queued_s, running_s = events.waits
    assert queued_s > 10 > running_s


def test_an_end_that_the_server_tells_of_before_it_answers_with_it_is_asked_for_again_soon() -> None:
    events = HandEvents(is_open=True, news=2, newest=Heard("COMPLETED", float("inf")))
    waited(events, ["RUNNING", "RUNNING", "COMPLETED"])
    assert max(events.waits) < 1


def test_no_thread_is_left_of_a_wait_that_is_given_up() -> None:
    from lipsync_service.client.job_client import open_client
    from lipsync_service.settings import Settings

    with open_client(Settings(api_url="http://127.0.0.1:9/api")) as client:  # nothing listens there
        watching = client.watch([JOB], 0.01)
        watching.close()  # type: ignore[attr-defined]
    assert "run events" not in {thread.name for thread in threading.enumerate()}
