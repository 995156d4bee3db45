"""A parent goes on at its child's handover, and asks Prefect for what no handover tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.states import Crashed, Running, Scheduled

from lipsync_core.errors import TransientError
from lipsync_service.errors import GpuRunError
from tasks.child_run import finished_run

CHILD = uuid4()


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Prefect's server with one run; time passes only where the parent sleeps."""
    server = SimpleNamespace(run=SimpleNamespace(state=Running(), start_time=1), asked=0, now_s=0.0)

    def read_flow_run(_: object) -> Any:
        server.asked += 1
        return server.run

    @contextmanager
    def client(**_: object) -> Iterator[Any]:
        yield SimpleNamespace(read_flow_run=read_flow_run)

    def sleep(seconds: float) -> None:
        server.now_s += max(0.001, seconds)

    monkeypatch.setattr("tasks.child_run.get_client", client)
    monkeypatch.setattr("tasks.child_run.time", SimpleNamespace(monotonic=lambda: server.now_s, sleep=sleep))
    return server


def test_a_handover_ends_the_wait_without_a_question_to_prefect(prefect: SimpleNamespace) -> None:
    assert finished_run(CHILD, 60, lambda: prefect.now_s > 2) is None
    assert prefect.asked == 0
    assert prefect.now_s < 2.5


def test_a_parent_that_waits_for_an_hour_asks_ever_more_seldom(prefect: SimpleNamespace) -> None:
    assert finished_run(CHILD, 7200, lambda: prefect.now_s > 3600) is None
    assert prefect.asked < 200
    assert prefect.now_s < 3604


def test_a_crash_is_learned_from_prefect(prefect: SimpleNamespace) -> None:
    prefect.run.state = Crashed()
    run = finished_run(CHILD, 60, lambda: False)
    assert run is not None and run.state is not None and run.state.is_crashed()
    assert prefect.now_s < 4


def test_a_child_that_has_ended_and_handed_over_counts_as_handed_over(prefect: SimpleNamespace) -> None:
    prefect.run.state = Crashed()  # while its process ended
    looks = iter([False] * 1000)
    assert finished_run(CHILD, 60, lambda: next(looks) or prefect.asked > 0) is None


def test_a_storage_that_is_restarted_does_not_end_the_wait(prefect: SimpleNamespace) -> None:
    def away_at_first() -> bool:
        if prefect.now_s < 5:
            raise TransientError("the storage does not answer")
        return True

    assert finished_run(CHILD, 60, away_at_first) is None


def test_a_wait_fails_when_no_worker_begins_the_child(prefect: SimpleNamespace) -> None:
    prefect.run = SimpleNamespace(state=Scheduled(), start_time=None)
    with pytest.raises(GpuRunError, match="no worker of the GPU pool"):
        finished_run(CHILD, 30, lambda: False)
    assert 30 <= prefect.now_s < 60
