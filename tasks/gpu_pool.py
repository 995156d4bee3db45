"""Track and infer for a job: inline, or in a child run on the GPU pool that is started again where it crashes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from lipsync_core.catalogue import runs_onnx
from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.providers import provider_account
from lipsync_core.report import Progress
from lipsync_core.shortage import memory_shortage_told
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.retries import retried
from lipsync_service.client.run_states import RunState
from lipsync_service.names import GPU_DEPLOYMENT, Priority
from tasks import stages
from tasks.artifacts import log_choice, show_parts
from tasks.child_run import RETRY_S, SERVER_LIMIT_S, finished_run, is_away
from tasks.edit_parts import EditsOrder, tell_failure
from tasks.edits import left_to_others
from tasks.failure import Failure
from tasks.handover import Handover, has_handed_over, inferred_by, read_handover, write_handover
from tasks.inference import GpuPoolParts, Tracking, load_gpu_pool_parts, load_open_tracking, open_inference
from tasks.job import ChosenParts, Inferred, JobInputs, ServiceJob
from tasks.stages import unscanned
from tasks.track_parts import TrackOrder

SetParts = Callable[[ChosenParts], None]

_MAX_CHILDREN = 3  # of one attempt of a job, each after the crash of the one before


def infer_inline(
    job: ServiceJob,
    inputs: JobInputs,
    parts: GpuPoolParts,
    have_made: Callable[[Tracking], Sequence[TrackOrder]] = lambda _: (),
    may_divide: bool = False,
) -> Inferred:
    """Listen, track and infer as task runs of the present flow run. `have_made` has the parts of a long track made.

    With `may_divide` the edits of a long movie may be left to other runs.
    """
    show_parts(parts.chosen, provider_account(job.execution, runs_onnx(parts.tracker, parts.inference)))
    opened = open_inference(job, inputs, parts, may_divide)
    inference = unscanned(opened)
    heard = unscanned(stages.listen(inference, return_state=True).result())
    orders = unscanned(have_made(opened.tracking))
    tracked = stages.track(inference, heard, unscanned(_ignore), orders, return_state=True).result()
    edits = left_to_others(opened, tracked)
    if edits is None:
        edits = stages.infer(inference, heard, unscanned(tracked), unscanned(_ignore), return_state=True).result()
    return Inferred(parts.chosen, tracked, edits)


def infer_on_gpu_pool(
    job: ServiceJob,
    request: LipSyncRequest,
    attempt: int,
    set_parts: SetParts,
    track_parts: Sequence[TrackOrder] = (),
    may_divide: bool = False,
) -> Inferred:
    """Listen, track and infer in a child run on the GPU pool, and after a crash in another: at most three in all.

    `track_parts` were made by others. With `may_divide` the edits of a long movie are left to other runs. `set_parts`
    receives the parts that the child chose, also where the child failed.

    Raises:
        LipSyncError: the child failed; this is its error.
        GpuRunError: the child ended without a handover, or no worker took it.
    """
    parameters = {
        "request": request.model_dump(mode="json"),
        "attempt": attempt,
        "track_parts": [order.model_dump(mode="json") for order in track_parts],
        "may_divide": may_divide,
    }
    for number in range(1, _MAX_CHILDREN):
        child = _ended_child(job, request.priority, parameters, number)
        if child.state is None or not child.state.is_crashed():
            return _handed_over(job, child, set_parts)
    return _handed_over(job, _ended_child(job, request.priority, parameters, _MAX_CHILDREN), set_parts)


@dataclass(frozen=True, slots=True)
class _Child:
    """A child run that has handed over, or has ended without a handover, in `state`."""

    id: UUID
    state: State[Any] | None  # None where it has handed over


def _ended_child(job: ServiceJob, queue: Priority, parameters: dict[str, Any], number: int) -> _Child:
    """The child run `number` of this attempt, waited for; cancelled when the present run is stopped meanwhile."""
    key = f"{runtime.flow_run.id}-{parameters['attempt']}-{number}"  # asked for twice, it is the same run
    start = partial(
        run_deployment,
        GPU_DEPLOYMENT,
        parameters=parameters,
        flow_run_name=f"{runtime.flow_run.name}: track and infer",
        work_queue_name=queue,
        idempotency_key=key,
        timeout=0,
    )
    run_id = cast(FlowRun, retried(start, is_away, SERVER_LIMIT_S, RETRY_S)).id
    try:
        run = finished_run(run_id, job.max_gpu_wait_s, partial(has_handed_over, job, run_id))
    except BaseException:
        _cancel(run_id)
        raise
    return _Child(run_id, run.state if run else None)


def _handed_over(job: ServiceJob, child: _Child, set_parts: SetParts) -> Inferred:
    handover = read_handover(unscanned(job), child.id, was_seen=child.state is None)
    if handover.chosen_parts is not None:
        set_parts(handover.chosen_parts)
    return inferred_by(child.id, handover, _run_state(child.state))


def _run_state(state: State[Any] | None) -> RunState | None:
    if state is None:
        return None
    return RunState(state.type.value, state.name or "", state.message or "", state.timestamp)


def fetch_inputs(job: ServiceJob, request: LipSyncRequest) -> JobInputs:
    """Fetch both inputs at the same time."""
    video = stages.fetch_video.submit(unscanned(job), unscanned(request.video))
    audio = stages.fetch_audio.submit(unscanned(job), unscanned(request.audio))
    video.wait()
    audio.wait()  # also where the video fails: the job's folder must not go while a fetch writes to it
    inputs = JobInputs(video.result(), audio.result())
    decoding = inputs.video.decoding
    if decoding.requested != "cpu":
        log_choice("decoder", decoding.chosen, decoding.reason)
    return inputs


def track_a_part(job: ServiceJob, request: LipSyncRequest, order: TrackOrder) -> None:
    """Make a part of the face track in the present flow run."""
    video = stages.fetch_video(unscanned(job), unscanned(request.video))
    stages.track_part(unscanned(load_open_tracking(job, video)), unscanned(order))


def infer_a_part(job: ServiceJob, request: LipSyncRequest, order: EditsOrder) -> None:
    """Infer the edits of a segment in the present flow run.

    Raises:
        LipSyncError: a stage failed; the job is told.
    """
    try:
        with memory_shortage_told():
            parts = load_gpu_pool_parts(job)
            inference = open_inference(job, fetch_inputs(job, request), parts)
            stages.infer_part(unscanned(inference), unscanned(order))
    except LipSyncError as error:
        told = job.for_caller(error)
        if not isinstance(told, TransientError):  # another run may do better
            tell_failure(job, order, told)
        raise told from error


def infer_and_hand_over(
    job: ServiceJob,
    request: LipSyncRequest,
    run_id: UUID,
    track_parts: Sequence[TrackOrder] = (),
    may_divide: bool = False,
) -> None:
    """Run the stages of the child `run_id`, and store its handover for the parent: references, or the failure.

    Raises:
        LipSyncError: a stage failed; the handover holds the failure.
    """
    chosen: ChosenParts | None = None
    try:
        with memory_shortage_told():
            parts = load_gpu_pool_parts(job)
            chosen = parts.chosen
            inferred = infer_inline(job, fetch_inputs(job, request), parts, lambda _: track_parts, may_divide)
    except LipSyncError as error:
        told = job.for_caller(error)
        write_handover(unscanned(job), run_id, unscanned(Handover(parts=chosen, failure=Failure.of(told))))
        raise told from error
    write_handover(unscanned(job), run_id, unscanned(Handover(inferred=inferred)))


def _cancel(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelling())


def _ignore(_: Progress) -> None:
    """These stages show no progress: they are short."""
