"""The handover of a child run on the GPU pool to its parent: references to its results, or its failure."""

from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from pydantic import BaseModel, ConfigDict, ValidationError

from lipsync_core.errors import LipSyncError, error_of
from lipsync_service.client.run_states import RunState, coded_message, duplicate_message, retry_command
from lipsync_service.errors import GpuRunError, ObjectMissingError
from lipsync_service.ledger.rows import JobRow, JobState
from lipsync_service.names import DUPLICATE
from tasks.failure import Failure
from tasks.job import ChosenParts, Inferred, ServiceJob
from tasks.stages import NOT_PERSISTED, RETRIED, TRANSFER_LIMIT_S, NotThereNowError


class Handover(BaseModel):
    """The last message of a child run: its result or its failure; neither where it ended without one."""

    model_config = ConfigDict(frozen=True)

    parts: ChosenParts | None = None  # of a failed run, as far as it had chosen them
    inferred: Inferred | None = None
    failure: Failure | None = None

    @property
    def chosen_parts(self) -> ChosenParts | None:
        """The parts that the child ran, whether it failed or not."""
        return self.inferred.parts if self.inferred else self.parts


def failed_state(error: LipSyncError) -> State[LipSyncError]:
    """The state of a flow run that `error` ended: its message begins with the stable code."""
    return Failed(message=coded_message(error), data=error)


def duplicate_state(job_id: UUID, job: JobRow | None) -> State[Any]:
    """The state of a run that repeats the request of job `job_id`: that job's own state, under the name `Duplicate`."""
    state = job.state if job else JobState.ACCEPTED
    same = duplicate_message(job_id, state)
    if state is JobState.FAILED and job:
        return Failed(name=DUPLICATE, message=f"{job.error_code}: {same}; run it again: {retry_command(job_id)}")
    make = Cancelled if state is JobState.CANCELLED else Completed
    return make(name=DUPLICATE, message=same)


@task(name="hand over", task_run_name="hand over", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def write_handover(job: ServiceJob, run_id: UUID, handover: Handover) -> None:
    """Store the handover where the parent finds it by the child's run id."""
    path = job.folder / "handover.json"
    path.write_text(handover.model_dump_json(), encoding="utf-8")
    job.files.put_shared(path, _url(job, run_id))


def has_handed_over(job: ServiceJob, run_id: UUID) -> bool:
    """Whether the child `run_id` has written its handover. Raises TransientError where the storage does not answer."""
    return job.files.exists(_url(job, run_id))


@task(name="take over", task_run_name="take over", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def read_handover(job: ServiceJob, run_id: UUID, was_seen: bool = False) -> Handover:
    """The handover of the child `run_id`; an empty one where the child wrote none.

    Raises:
        NotThereNowError: it is not there, and was seen before.
        GpuRunError: it is of another version, or damaged.
        TransientError: the shared storage does not answer.
    """
    try:
        with job.files.fetch_shared(_url(job, run_id)) as copy:
            return Handover.model_validate_json(Path(copy.path).read_bytes())
    except ObjectMissingError as exc:
        if was_seen:
            raise NotThereNowError(exc.message, exc.remedy) from exc
        return Handover()
    except ValidationError as exc:
        message = f"the handover of the run {run_id} on the GPU pool cannot be read"
        raise GpuRunError(message, "have the workers of both pools run the same version") from exc


def inferred_by(run_id: UUID, handover: Handover, state: RunState | None = None) -> Inferred:
    """The results of the child `run_id`, which ended in `state`.

    Raises:
        LipSyncError: the child failed; this is its error.
        GpuRunError: it wrote no handover, and its state has no code.
    """
    if handover.failure is not None:
        raise handover.failure.error()
    if handover.inferred is None:
        failure = state.failure if state else None
        if failure is not None and failure.words:
            raise error_of(failure.code, failure.words)
        raise GpuRunError(f"the run {run_id} on the GPU pool ended without a result", "look at that run's own log")
    return handover.inferred


def _url(job: ServiceJob, run_id: UUID) -> str:
    return job.shared(f"handovers/{run_id}.json")
