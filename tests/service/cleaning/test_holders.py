"""Which files the unfinished runs hold, as Prefect describes these runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.service.conftest import NOT_INSTALLED

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_core.errors import TransientError
from lipsync_service.cleaning.holders import read_holders
from lipsync_service.client.prefect_api import FlowRun, RunQuery
from lipsync_service.client.run_states import RunState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORAGE = "s3://lipsync/work"
HASH = "ab" * 32


def run_of(state: str, due_at: datetime = NOW, started_at: datetime | None = None, **parameters: Any) -> FlowRun:
    return FlowRun(
        uuid4(), "job", RunState(state, state.title(), "", NOW), parameters, 0, None, None, NOW, started_at, None, 0.0,
        due_at,
    )  # fmt: skip


@dataclass
class Prefect:
    """Answers as Prefect's API does: the latest due first, a page at a time."""

    by_flow: dict[str, list[FlowRun]]
    ends_between_pages: list[UUID] = field(default_factory=list)  # the first of these ends after each answer
    asked: list[RunQuery] = field(default_factory=list)

    def _of(self, flows: str | Sequence[str]) -> list[FlowRun]:
        return [run for flow in ([flows] if isinstance(flows, str) else flows) for run in self.by_flow.get(flow, [])]

    def runs(self, query: RunQuery) -> Sequence[FlowRun]:
        self.asked.append(query)
        runs = [run for run in self._of(query.flows) if run.state.type in (query.state_types or ())]
        if query.due_until is not None:
            runs = [run for run in runs if run.due_at and run.due_at <= query.due_until]
        page = sorted(runs, key=lambda run: run.due_at or NOW, reverse=True)[: query.limit]
        if self.ends_between_pages:
            gone = self.ends_between_pages.pop(0)
            for flow, known in self.by_flow.items():
                self.by_flow[flow] = [each for each in known if each.id != gone]
        return page


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"])
@pytest.mark.parametrize("flow", ["lipsync", "lipsync-gpu", "lipsync-segment", "lipsync-bulk"])
def test_a_run_that_has_not_ended_holds_what_it_names(state: str, flow: str) -> None:
    request = {"video": f"{STORAGE}/uploads/ab/face.mp4", "output": "s3://elsewhere/out.mp4", "metadata": {"a": [HASH]}}
    run = run_of(state, request=request)
    found = read_holders(Prefect({flow: [run]}), STORAGE, NOW)  # type: ignore[arg-type]
    assert found.names == {"uploads/ab/face.mp4"}
    assert found.hold("uploads/ab/face.mp4") and not found.hold("uploads/ab/other.mp4")
    assert found.hold(f"renders/{run.id}-{'0' * 64}.mp4") and not found.hold(f"renders/{uuid4()}-{'0' * 64}.mp4")
    assert found.hold(f"secrets/{HASH}.json") and found.since is None


def test_a_run_that_has_ended_holds_nothing_and_one_that_crashed_may_go_on() -> None:
    ended = [run_of(state, request={"video": f"{STORAGE}/uploads/{state}.mp4"}) for state in ("COMPLETED", "FAILED")]
    crashed = run_of("CRASHED", request={"video": f"{STORAGE}/uploads/crashed.mp4"})
    prefect = Prefect({"lipsync": [*ended, crashed]})
    assert read_holders(prefect, STORAGE, NOW).names == {"uploads/crashed.mp4"}  # type: ignore[arg-type]
    [query] = [each for each in prefect.asked if each.state_types == ("CRASHED",)]
    assert query.ended_after == NOW - timedelta(days=1)


def test_the_longest_at_work_says_since_when_files_may_be_in_use() -> None:
    began = [NOW - timedelta(hours=hours) for hours in (1, 5, 3)]
    runs = [run_of("RUNNING", started_at=each) for each in began] + [run_of("SCHEDULED")]
    assert read_holders(Prefect({"lipsync": runs}), STORAGE, NOW).since == min(began)  # type: ignore[arg-type]


def test_no_run_is_missed_when_others_end_between_two_pages() -> None:
    runs = [
        run_of("SCHEDULED", NOW - timedelta(seconds=number), request={"video": f"{STORAGE}/uploads/{number}.mp4"})
        for number in range(450)
    ]
    prefect = Prefect({"lipsync": list(runs)}, ends_between_pages=[runs[3].id, runs[4].id, runs[5].id])
    found = read_holders(prefect, STORAGE, NOW)  # type: ignore[arg-type]
    assert found.names >= {f"uploads/{number}.mp4" for number in range(450) if number not in (3, 4, 5)}


def test_more_runs_than_a_page_that_are_due_at_one_moment_are_no_reason_to_miss_some() -> None:
    with pytest.raises(TransientError, match="due at one moment"):
        read_holders(Prefect({"lipsync": [run_of("SCHEDULED") for _ in range(201)]}), STORAGE, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("storage", "address", "name"),
    [
        ("s3://lipsync/work", "s3://lipsync/work/uploads/a b.mp4", "uploads/a b.mp4"),
        ("s3://lipsync", "s3://lipsync/uploads/a.mp4", "uploads/a.mp4"),
        ("file:///data/lip%20sync", "file:///data/lip%20sync/uploads/a%20b.mp4", "uploads/a b.mp4"),
        ("s3://lipsync/work", "s3://lipsync/workshop/a.mp4", None),
        ("s3://lipsync/work", "s3://other/work/uploads/a.mp4", None),
        ("s3://lipsync/work", "https://lipsync/work/uploads/a.mp4", None),
        ("s3://lipsync/work", "not an address://", None),
    ],
)
def test_an_address_names_a_file_of_the_storage_however_it_is_written(
    storage: str, address: str, name: str | None
) -> None:
    found = read_holders(Prefect({"lipsync": [run_of("PENDING", request={"video": address})]}), storage, NOW)  # type: ignore[arg-type]
    assert found.names == (frozenset() if name is None else {name})


def test_a_run_of_another_time_is_as_good() -> None:
    run = replace(run_of("RUNNING"), started_at=NOW - timedelta(days=400))
    assert read_holders(Prefect({"lipsync-gpu": [run]}), STORAGE, NOW).since == run.started_at  # type: ignore[arg-type]
