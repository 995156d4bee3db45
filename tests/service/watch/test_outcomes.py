"""Which crashes count: a job that is what kills its worker ends for good, and one that was only unlucky goes on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_service.client.prefect_api import FlowRun
from lipsync_service.client.run_states import RunState
from lipsync_service.ledger.rows import JobRow, JobState
from lipsync_service.result_facts import NO_FACTS
from lipsync_service.watch.outcomes import Crashes, crashes_of, facts_of, job_outcomes
from lipsync_service.watch.recovery import Recovery

_START = datetime(2026, 1, 1, tzinfo=UTC)
_CRASH = ["PENDING", "RUNNING", "CRASHED", "SCHEDULED"]


def history(*types: str) -> list[RunState]:
    states = enumerate(["SCHEDULED", *types])
    return [RunState(type_, type_.title(), "", _START + timedelta(seconds=number)) for number, type_ in states]


def run_in(state: RunState) -> FlowRun:
    return FlowRun(uuid4(), "job", state, {}, 1, "interactive", "lipsync-cpu", _START, None, None, 0.0)


@pytest.mark.parametrize(
    ("states", "crashes", "code"),
    [
        pytest.param(_CRASH * 2, Crashes(2, 0), None, id="crashed twice"),
        pytest.param(_CRASH * 3, Crashes(3, 0), "POISON", id="crashed three times"),
        # Of benchmarks/killing.py --seed 11, where this job was given up after one crash at work.
        pytest.param(
            ["PENDING", "RUNNING", "CRASHED", "SCHEDULED", "CRASHED", "SCHEDULED", "PENDING", "CRASHED"],
            Crashes(1, 1),
            None,
            id="a late report, and a death before any work",
        ),
        pytest.param([*_CRASH * 3, "FAILED", "SCHEDULED", *_CRASH], Crashes(1, 0), None, id="a caller tried again"),
        pytest.param(["PENDING", "CRASHED", "SCHEDULED"] * 9, Crashes(0, 9), None, id="not started so far"),
        pytest.param(["PENDING", "CRASHED", "SCHEDULED"] * 10, Crashes(0, 10), "JOB_CRASHED", id="never started"),
        pytest.param(["PENDING", "RUNNING", "CANCELLING", "CRASHED"], Crashes(0, 0, True), None, id="died stopping"),
    ],
)
def test_crashes_at_work_are_counted(states: list[str], crashes: Crashes, code: str | None) -> None:
    found = crashes_of(history(*states))
    assert found == crashes
    verdict = found.verdict(uuid4())
    assert (verdict.code if verdict else None) == code


class Api:
    """Prefect's API with one run; keeps the states that it was given."""

    def __init__(self, run: FlowRun) -> None:
        self._run, self.given = run, list[tuple[str, str]]()

    def run(self, _run_id: object) -> FlowRun:
        return self._run

    def runs(self, _query: object) -> list[FlowRun]:
        return []

    def set_state(self, _run_id: object, type_: str, name: str, message: str, force: bool = False) -> bool:
        self.given.append((type_, message.partition(":")[0]))
        return True

    def retry(self, _run_id: object, message: str) -> bool:
        self.given.append(("SCHEDULED", message.partition(":")[0]))
        return True


@pytest.mark.parametrize(
    ("states", "given"),
    [
        (_CRASH[:3], ("SCHEDULED", "Its process vanished; started again after 1 of at most 3 crashes at work")),
        ([*_CRASH, *_CRASH, *_CRASH[:3]], ("FAILED", "POISON")),
        (["PENDING", "RUNNING", "CANCELLING", "CRASHED"], ("CANCELLED", "Its process vanished while it stopped")),
    ],
    ids=["once", "for the third time", "while it stops"],
)
def test_a_crashed_job_is_started_again_or_ended(states: list[str], given: tuple[str, str]) -> None:
    past = history(*states)
    run = run_in(past[-1])
    api: Any = Api(run)
    Recovery(api, lambda: _START).settle(run, crashes_of(past))
    assert api.given == [given]


def test_a_job_that_was_given_up_is_told_of_once() -> None:
    failed = RunState("FAILED", "Failed", "POISON: the job's process vanished 3 times", _START + timedelta(hours=1))
    past = [*history(*_CRASH, *_CRASH, *_CRASH[:3]), failed]
    [outcome] = job_outcomes(run_in(failed), past)
    assert (outcome.attempt, outcome.state, outcome.error_code) == (3, JobState.FAILED, "POISON")


def test_the_facts_of_another_attempt_are_not_told() -> None:
    failed = RunState("FAILED", "Failed", "QUALITY_LOW: the mouth does not follow the sound", _START)
    [outcome] = job_outcomes(run_in(failed), [*history("RUNNING"), failed])
    row = JobRow(outcome.job_id, 1, JobState.FAILED, score="low: 0.2 by its own curves")
    assert facts_of(row, outcome) == row.facts
    assert facts_of(replace(row, attempt=2), outcome) == facts_of(None, outcome) == NO_FACTS
