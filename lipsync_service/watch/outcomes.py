"""The outcomes of a job's attempts, read from the states of its run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lipsync_service.callbacks.sender import JobOutcome
from lipsync_service.client.prefect_api import FlowRun
from lipsync_service.client.run_states import RunState, retry_command
from lipsync_service.errors import JobCancelledError, JobCrashedError
from lipsync_service.ledger.rows import JobState
from lipsync_service.storage.storage import shown_url

#: After this many crashes a job stays crashed.
MAX_CRASHES = 3

_NO_CODE = "the job failed by an error without a code; see the job's log"  # the error may quote secrets


def job_outcomes(run: FlowRun, history: Sequence[RunState]) -> list[JobOutcome]:
    """The outcomes of all ended attempts, in order; a crash that another attempt follows is no outcome.

    Raises nothing. A run that is a `Duplicate` of another job has no outcome of its own.
    """
    outcomes: list[JobOutcome] = []
    attempt, crashes, started_at = 0, 0, None
    for state in history:
        if state.type == "RUNNING":
            attempt, started_at = attempt + 1, state.since
        crashes += state.type == "CRASHED"
        if is_outcome(state, crashes):
            outcomes.append(_outcome(run, state, max(1, attempt), started_at))
    return outcomes


def is_outcome(state: RunState, crashes: int) -> bool:
    """Whether a job that has crashed `crashes` times stays in this state, unless a caller retries it."""
    if state.is_duplicate:
        return False
    return state.is_final and (state.type != "CRASHED" or crashes >= MAX_CRASHES)


def crash_count(history: Sequence[RunState]) -> int:
    """The number of the run's crashes."""
    return sum(state.type == "CRASHED" for state in history)


def callback_url(run: FlowRun) -> str | None:
    """The address that the job's caller gave for callbacks."""
    return _text(_request(run).get("callback_url"))


def output_shown(run: FlowRun) -> str | None:
    """The output's address without credentials and signature."""
    output = _text(_request(run).get("output"))
    return shown_url(output) if output else None


def labels(run: FlowRun) -> dict[str, str]:
    """The valid part of the request's metadata: the run may have failed because its request is not valid."""
    found = _request(run).get("metadata")
    if not isinstance(found, Mapping):
        return {}
    return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, str)}


def _request(run: FlowRun) -> Mapping[str, Any]:
    found = run.parameters.get("request")
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _outcome(run: FlowRun, state: RunState, attempt: int, started_at: datetime | None) -> JobOutcome:
    code, message = _error(run, state)
    return JobOutcome(
        run.id,
        attempt,
        JobState(state.job_state),
        created_at=run.created_at,
        started_at=started_at,
        ended_at=state.since,
        error_code=code,
        error_message=message,
    )


def _error(run: FlowRun, state: RunState) -> tuple[str | None, str | None]:
    failure = state.failure
    if failure is None or failure.code == JobCancelledError.code:
        return None, None
    if failure.code == JobCrashedError.code and not failure.words:
        again = f"run it again: {retry_command(run.id)}"
        return failure.code, f"the job's process vanished {MAX_CRASHES} times; {again}"
    return failure.code, failure.words or _NO_CODE
