"""The outcomes of a job's attempts, read from the states of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from lipsync_core.errors import LipSyncError
from lipsync_core.shown_text import shown_url
from lipsync_service.callbacks.sender import JobOutcome
from lipsync_service.client.prefect_api import FlowRun
from lipsync_service.client.run_states import RunState, retry_command
from lipsync_service.errors import JobCancelledError, JobCrashedError, PoisonJobError
from lipsync_service.ledger.rows import JobRow, JobState
from lipsync_service.result_facts import NO_FACTS, ResultFacts

#: After this many crashes at work a job is not started again: it may be what kills its worker.
MAX_CRASHES = 3
#: After this many crashes before any work a job is not started again: no worker can start it.
MAX_LOST_STARTS = 10

_NO_CODE = "the job failed by an error without a code; see the job's log"  # the error may quote secrets


def job_outcomes(run: FlowRun, history: Sequence[RunState]) -> list[JobOutcome]:
    """The outcomes of all ended attempts, in order. A crash is none: the watcher starts the job again, or fails it.

    Raises nothing. A run that is a `Duplicate` of another job has no outcome of its own.
    """
    outcomes: list[JobOutcome] = []
    attempt, started_at = 0, None
    for state in history:
        if state.type == "RUNNING":
            attempt, started_at = attempt + 1, state.since
        if is_outcome(state):
            outcomes.append(_outcome(run, state, max(1, attempt), started_at))
    return outcomes


def is_outcome(state: RunState) -> bool:
    """Whether a job stays in this state, unless a caller retries it."""
    return state.is_final and state.type != "CRASHED" and not state.is_duplicate


@dataclass(frozen=True, slots=True)
class Crashes:
    """The crashes of a job since it was last ended, or begun."""

    at_work: int
    before_work: int  # no attempt had begun: its process was lost on its way, or could not be started
    was_cancelled: bool = False  # it was to be stopped when it crashed last

    def verdict(self, job_id: UUID) -> LipSyncError | None:
        """The error that ends the job for good; None where it is to be started again."""
        again = f"see the log and the memory of its workers, then run it again: {retry_command(job_id)}"
        if self.at_work >= MAX_CRASHES:
            return PoisonJobError(f"the job's process vanished {self.at_work} times while it was at work", again)
        if self.before_work >= MAX_LOST_STARTS:
            return JobCrashedError(f"the job's process could not be started, {self.before_work} times", again)
        return None


def crashes_of(history: Sequence[RunState]) -> Crashes:
    """The crashes in the states of a run. A caller who runs an ended job again gives it new chances.

    A run that waits for a worker cannot crash, so such a state (a report that came late) is no crash.
    """
    before, at_work, before_work, was_cancelled = "", 0, 0, False
    for state in history:
        if is_outcome(state):
            at_work = before_work = 0
        elif state.type == "CRASHED":
            at_work += before == "RUNNING"
            was_cancelled = before == "CANCELLING"
            before_work += before == "PENDING"
        before = state.type
    return Crashes(at_work, before_work, was_cancelled)


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


def facts_of(row: JobRow | None, outcome: JobOutcome) -> ResultFacts:
    """What the attempt has recorded of its result; nothing where the ledger has no row of it, or of a later one."""
    return row.facts if row is not None and row.attempt == outcome.attempt else NO_FACTS


def _request(run: FlowRun) -> Mapping[str, Any]:
    found = run.parameters.get("request")
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _outcome(run: FlowRun, state: RunState, attempt: int, started_at: datetime | None) -> JobOutcome:
    code, message = _error(state)
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


def _error(state: RunState) -> tuple[str | None, str | None]:
    failure = state.failure
    if failure is None or failure.code == JobCancelledError.code:
        return None, None
    return failure.code, failure.words or _NO_CODE
