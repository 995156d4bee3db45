from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

pytest.importorskip("pydantic", reason="the extra service is not installed")

from prefect.client.schemas.objects import TERMINAL_STATES, StateType

from lipsync_core.errors import LipSyncError, NoVideoError
from lipsync_service.client.crashes import Crashes, may_run_again
from lipsync_service.client.job import Job
from lipsync_service.client.run_states import (
    FINAL_TYPES,
    RunFailure,
    RunState,
    coded_message,
    duplicate_message,
    state_types,
)
from lipsync_service.errors import JobCrashedError
from lipsync_service.ledger.rows import JobState
from lipsync_service.names import DUPLICATE, JOB_STATES, JobStateName

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def state(type_: str, message: str = "", name: str = "") -> RunState:
    return RunState(type_, name or type_.title(), message, NOW)


def test_every_type_of_prefects_has_a_state_of_the_ledger() -> None:
    types = {each.value for each in StateType}
    assert set(state_types(JOB_STATES)) == types
    assert {state(each).job_state for each in types} == set(JOB_STATES)
    assert set(JobState) == set(JOB_STATES) - {"scheduled"}


def test_a_run_has_ended_in_the_states_that_prefect_calls_terminal() -> None:
    assert {each.value for each in TERMINAL_STATES} == FINAL_TYPES
    assert {each.value for each in StateType if state(each.value).is_final} == FINAL_TYPES


@pytest.mark.parametrize(
    ("ended", "failure"),
    [
        (state("COMPLETED"), None),
        (state("RUNNING", "NO_VIDEO: not yet"), None),
        (state("CANCELLED"), RunFailure("JOB_CANCELLED", "")),
        (state("CRASHED", "its worker died"), RunFailure("JOB_CRASHED", "")),
        (state("FAILED", "ValueError: boom"), RunFailure("INTERNAL", "")),
        (state("FAILED", "NO_VIDEO: "), RunFailure("INTERNAL", "")),
        (state("FAILED", "NO_VIDEO: a\nb"), RunFailure("NO_VIDEO", "a\nb")),
    ],
)
def test_a_run_tells_why_it_has_no_result(ended: RunState, failure: RunFailure | None) -> None:
    assert ended.failure == failure


def test_the_message_of_an_error_is_read_back() -> None:
    error = NoVideoError("a.wav holds no picture", "give a video")
    assert state("FAILED", coded_message(error)).failure == RunFailure("NO_VIDEO", str(error))


def test_the_job_that_a_duplicate_names_is_read_back() -> None:
    job_id = uuid4()
    message = duplicate_message(job_id, JobState.RUNNING)
    assert state("COMPLETED", message, DUPLICATE).same_as == job_id
    assert state("COMPLETED", message).same_as is None


def crashed_job(since: datetime, error: LipSyncError | None) -> Job:
    state: JobStateName = "crashed" if error else "running"
    return Job(
        uuid4(), "job", state, error, "", since, 1, None, None, since, since, None, None, None
    )  # fmt: skip


def test_each_crash_has_its_own_time_to_be_started_again() -> None:
    """A job that crashed again, after it had run again, was given up 20 s after its first crash."""
    first = crashed_job(datetime.now(UTC), JobCrashedError("its process vanished"))
    crashes: Crashes = {}
    assert may_run_again(first, crashes, 1000.0)
    assert not may_run_again(first, crashes, 1021.0)
    again = replace(first, since=first.since + timedelta(seconds=14))
    assert may_run_again(again, crashes, 1015.0)  # that it ran between was not seen
    assert may_run_again(again, crashes, 1030.0)
    assert not may_run_again(again, crashes, 1036.0)
    assert not may_run_again(replace(again, error=None), crashes, 1036.0)
    assert crashes == {}
