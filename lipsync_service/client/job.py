"""A job for its caller: in the ledger's words, with its error's stable code, and without signatures in addresses."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from lipsync_core.errors import LipSyncError, error_of
from lipsync_core.shown_text import shown_url
from lipsync_service.client.prefect_api import FlowRun
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.run_states import RunState, is_final, retry_command
from lipsync_service.errors import JobCancelledError, JobCrashedError
from lipsync_service.names import JobStateName

_ADDRESS = re.compile(r"(\w+://)(?:[^\s/@]*@)?([^\s?#]*)(?:[?#]\S*)?")


@dataclass(frozen=True, slots=True)
class Job:
    """One job at one moment."""

    id: UUID
    name: str  # for people; it may not be unique
    state: JobStateName
    error: LipSyncError | None  # of a job that failed, crashed or was cancelled
    message: str  # of its state
    since: datetime  # in this state
    attempt: int  # 0 before the first
    queue: str | None
    pool: str | None  # whose workers take it
    created_at: datetime
    started_at: datetime | None  # of the first attempt
    finished_at: datetime | None
    ran_s: float | None  # of all attempts together; None before the end
    request: LipSyncRequest | None  # its addresses as `shown_url` gives them; None: this version cannot read it
    same_as: UUID | None = None  # the job with the same key and request; this one did nothing

    @property
    def error_code(self) -> str | None:
        """The stable code."""
        return self.error.code if self.error else None

    @property
    def is_final(self) -> bool:
        """The job stays in this state by itself, except that the watcher restarts a crashed one."""
        return is_final(self.state)

    @property
    def is_crashed(self) -> bool:
        """Its process vanished."""
        return self.error_code == JobCrashedError.code


def job_of(run: FlowRun) -> Job:
    """The job of a run."""
    request = request_of(run)
    return Job(
        id=run.id,
        name=run.name,
        state=run.state.job_state,
        error=_error(run.id, run.state),
        message=_line(run.state.message),
        since=run.state.since,
        attempt=run.attempt,
        queue=run.queue,
        pool=run.pool,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at if run.state.is_final else None,
        ran_s=run.ran_s if run.state.is_final else None,
        request=None if request is None else _shown(request),
        same_as=run.state.same_as,
    )


def request_of(run: FlowRun) -> LipSyncRequest | None:
    """The run's request with its signatures; None where this version cannot read it."""
    try:
        return LipSyncRequest.model_validate(run.parameters.get("request"))
    except ValidationError:
        return None


def _error(job_id: UUID, state: RunState) -> LipSyncError | None:
    failure = state.failure
    if failure is None:
        return None
    if failure.words:
        return error_of(failure.code, _line(failure.words))
    remedy = f"run it again: {retry_command(job_id)}"
    reason = _line(state.message) or "its run gave no reason"
    match failure.code:
        case JobCancelledError.code:
            return JobCancelledError(f"job {job_id} was cancelled", remedy)
        case JobCrashedError.code:
            return JobCrashedError(f"job {job_id} crashed: {reason}", remedy)
        case _:
            return LipSyncError(f"job {job_id} failed: {reason}", "see its log in the UI")


def _line(text: str) -> str:
    """The text in one line, its addresses without credentials and signatures: an exception may quote them."""
    return " ".join(_ADDRESS.sub(r"\1\2", text).split())


def _shown(request: LipSyncRequest) -> LipSyncRequest:
    addresses = {name: shown_url(getattr(request, name)) for name in ("video", "audio", "output")}
    callback = shown_url(request.callback_url) if request.callback_url else None
    return request.model_copy(update={**addresses, "callback_url": callback})
