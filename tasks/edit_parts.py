"""The edits of a long movie in parts, one for each segment: inferred by runs of their own, rendered as they come."""

import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageTiming
from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.report import Progress
from lipsync_core.segment_work import cut
from lipsync_service.errors import GpuRunError, ObjectMissingError
from tasks.edits import infer_part, open_edits
from tasks.failure import Failure
from tasks.inference import InferenceJob
from tasks.job import EditsReference, Inferred, ServiceJob, TrackReference
from tasks.part_order import PartOrder
from tasks.part_runs import PartRuns
from tasks.stage_log import StageMeter

_TRIES = 3  # of a part whose run ends without it


class EditsOrder(PartOrder):
    """What a run needs to infer the edits of one segment, beside the job's request."""

    kind: Literal["infer part"] = "infer part"
    track: TrackReference
    failure_url: str  # of a file that says why there are none, for this attempt of the job alone


class EditsFacts(BaseModel):
    """What the job has to know of a part."""

    model_config = ConfigDict(frozen=True)

    timings: tuple[StageTiming, ...]


def edits_orders(job: ServiceJob, plan: ClipPlan, inferred: Inferred) -> tuple[EditsOrder, ...]:
    """The parts of edits that are left to other runs; empty where they are in one file."""
    token = secrets.token_hex(8)
    edits = inferred.edits
    if edits.count == 1:
        return ()
    return tuple(
        EditsOrder(
            number=number,
            count=edits.count,
            first=frames.start,
            stop=frames.stop,
            track=inferred.track,
            url=edits.part_url(number),
            failure_url=job.shared(f"segments/{token}-{number:05d}-failure.json"),
        )
        for number, frames in enumerate(cut(plan, job.longest_segment_s))
    )


def make_edits(inference: InferenceJob, order: EditsOrder, meter: StageMeter) -> None:
    """Infer the part, and keep it where the job finds it.

    Raises:
        LipSyncError: as `tasks.edits.kept_or_inferred_edits`.
    """
    job = inference.job
    if is_inferred(job, order):
        meter.was_cached = True
        return
    path = job.folder / f"edits-{order.number:05d}.npy"
    infer_part(inference, order.track, order.frames, path, meter, _ignore)
    meter.size_bytes = path.stat().st_size
    job.files.put_shared(path, order.url)
    path.unlink()
    _put(job, order.facts_url, EditsFacts(timings=meter.clock.timings()))


def is_inferred(job: ServiceJob, order: EditsOrder) -> bool:
    """Whether the part is there; it then stays for as long as a job may take."""
    return job.files.take(order.facts_url) and job.files.take(order.url)


def _put(job: ServiceJob, url: str, value: BaseModel) -> None:
    path = job.folder / "part.json"
    path.write_text(value.model_dump_json(), encoding="utf-8")
    job.files.put_shared(path, url)
    path.unlink()


def facts_of(job: ServiceJob, order: EditsOrder) -> EditsFacts | None:
    """What is told of a part; None where nothing is yet. Raises TransientError where the storage does not answer."""
    if not (job.files.exists(order.facts_url) and job.files.exists(order.url)):
        return None
    try:
        with job.files.fetch_shared(order.facts_url) as copy:
            return EditsFacts.model_validate_json(copy.path.read_bytes())
    except (ObjectMissingError, ValidationError):
        return None


@dataclass(frozen=True, slots=True, eq=False)
class PartEdits:
    """Edits in one file for each segment; see `lipsync_core.segment_work.EditRows`."""

    job: ServiceJob
    plan: ClipPlan
    reference: EditsReference

    def of(self, frames: range) -> NDArray[Any]:
        """See `EditRows`; `frames` are a segment's.

        Raises:
            ObjectMissingError: they are no longer kept.
        """
        number = cut(self.plan, self.job.longest_segment_s).index(frames)
        rows = self.job.hold(self.job.files.fetch_shared(self.reference.part_url(number))).path
        return open_edits(rows, self.plan.part(frames))


@dataclass(slots=True)
class InferringRuns:
    """Follows the parts of edits that runs of the GPU pool infer."""

    job: ServiceJob
    orders: Sequence[EditsOrder]
    runs: PartRuns[EditsOrder]
    kept: AbstractSet[int] = frozenset()  # parts that were there before
    _facts: dict[int, EditsFacts] = field(default_factory=dict)  # of the parts that are there
    _tries: dict[int, int] = field(default_factory=dict)

    @property
    def timings(self) -> list[StageTiming]:
        """What the stages of the parts took that were inferred for this job."""
        fresh = [facts for number, facts in self._facts.items() if number not in self.kept]
        return [row for facts in fresh for row in facts.timings]

    def is_ready(self, number: int) -> bool:
        """Whether the edits of a segment are there."""
        try:
            facts = self._facts.get(number) or facts_of(self.job, self.orders[number])
        except TransientError:  # the storage is being restarted
            return False
        if facts is None:
            return False
        self._facts[number] = facts
        self.runs.is_done.add(number)
        return True

    def look_after(self, number: int) -> None:
        """Have a part that is awaited inferred again where its run has ended without it.

        Raises:
            LipSyncError: it can not be made: the error of its run.
            GpuRunError: run after run ended without it, or no worker has begun any.
            TransientError: the storage does not answer.
        """
        order = self.orders[number]
        self.runs.joined = number
        if self.is_ready(number):
            return
        if self.job.files.exists(order.failure_url):
            with self.job.files.fetch_shared(order.failure_url) as copy:
                failure = Failure.model_validate_json(copy.path.read_bytes())
            self.job.files.discard(order.failure_url)
            raise failure.error()
        if self.runs.are_all_waiting and self.runs.waited_s > self.job.max_gpu_wait_s:
            raise GpuRunError("no worker of the GPU pool has begun to infer", "see that one is online")
        if self.runs.is_lost(number) and not self.is_ready(number):  # a run writes, then ends
            self._tries[number] = self._tries.get(number, 0) + 1
            if self._tries[number] >= _TRIES:
                raise GpuRunError(f"the runs of {order.stage} end without it", "look at their own logs")
            self.runs.order_again(number)


def tell_failure(job: ServiceJob, order: EditsOrder, error: LipSyncError) -> None:
    """Tell the job that the part can not be made."""
    _put(job, order.failure_url, Failure.of(error))


def _ignore(_: Progress) -> None:
    """The run that joins shows the progress."""
