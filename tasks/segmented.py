"""The movie of a long job, from segments that this run and others have rendered."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageTiming
from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.movie import MovieSegment, WrittenMovie, join_segments
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.segment_work import SegmentWork
from lipsync_core.waits import Waits
from tasks.edit_parts import InferringRuns, edits_orders, is_inferred
from tasks.job import Inferred
from tasks.part_runs import PartRuns, RunsApi
from tasks.rendering import RenderPass
from tasks.segments import SegmentOrder, bring_segment, discard_segments, is_rendered, render_segment, work_of
from tasks.stage_log import StageMeter

_PAUSE_S = 0.3  # between two looks for a segment that another run is at


@dataclass(frozen=True, slots=True)
class Helpers:
    """What a job needs of Prefect while it renders segments."""

    api: RunsApi
    inferring: RunsApi  # for runs that infer the edits of segments
    check: Callable[[], None]  # raises SupersededError where this attempt has lost the job


def encode_segments(
    render: RenderPass, orders: Sequence[SegmentOrder], helpers: Helpers, meter: StageMeter, progress: ProgressCallback
) -> WrittenMovie:
    """Render the segments with the help of other runs, and join them with the sound to the output file.

    Raises:
        SupersededError: another attempt has the job.
        LipSyncError: a segment that was rendered here failed, or the output cannot be written.
    """
    done = {order.number for order in orders if _looked_for(render, order)}
    with ExitStack() as stack:
        edits = _edits_followed(render, orders[0].inferred, done, helpers, stack)
        is_ready = edits.is_ready if edits else _always
        runs = stack.enter_context(PartRuns(helpers.api, orders, done, is_ready))
        segments = _Segments(render, orders, runs, edits, progress, helpers.check)
        waits = Waits(segments.in_order())
        movie = join_segments(waits, render.plan, segments.work.request, meter.clock)
    if edits:
        _record_inference(render, edits)
    meter.clock.absorb(segments.timings, waits.waited_s)
    meter.items, meter.size_bytes = len(render.plan.timeline), render.output.stat().st_size
    meter.note = f"{movie.account}; {len(orders)} segments, {segments.brought} of them by other runs"
    return movie


def _edits_followed(
    render: RenderPass, inferred: Inferred, rendered: set[int], helpers: Helpers, stack: ExitStack
) -> InferringRuns | None:
    """The runs that infer the edits of the segments, begun; None where the edits are there."""
    orders = edits_orders(render.job, render.plan, inferred)
    if not orders:
        return None
    kept = {order.number for order in orders if is_inferred(render.job, order)}
    runs = stack.enter_context(PartRuns(helpers.inferring, orders, rendered | kept))
    return InferringRuns(render.job, orders, runs, kept)


def _record_inference(render: RenderPass, edits: InferringRuns) -> None:
    """The job's row of the stage, whose parts other runs have done."""
    with render.job.stage("infer") as meter:
        meter.clock.absorb(edits.timings, 0.0)
        meter.items = render.plan.counts.synced


def drop_segments(render: RenderPass, orders: Sequence[SegmentOrder]) -> None:
    """Remove the segments of a movie that was delivered; what the storage does not remove now goes with its age."""
    with suppress(LipSyncError):
        discard_segments(render.job, tuple(orders))


@dataclass(slots=True)
class _Segments:
    """The segments as they come."""

    render: RenderPass
    orders: Sequence[SegmentOrder]
    runs: PartRuns[SegmentOrder]
    edits: InferringRuns | None  # where they are inferred meanwhile
    progress: ProgressCallback
    check: Callable[[], None]  # that this attempt still has the job
    work: SegmentWork = field(init=False)
    timings: list[StageTiming] = field(default_factory=list)
    brought: int = 0
    _made: dict[int, MovieSegment] = field(default_factory=dict)  # here, and not joined yet

    def __post_init__(self) -> None:
        self.work = work_of(self.render)

    def in_order(self) -> Iterator[MovieSegment]:
        """Each segment. Its file is removed when the next one is asked for."""
        for order in self.orders:
            self.runs.joined = order.number
            segment = self._waited_for(order)
            self._show(segment)
            yield segment
            segment.path.unlink(missing_ok=True)

    def _waited_for(self, order: SegmentOrder) -> MovieSegment:
        while True:
            if order.number in self._made:
                return self._made.pop(order.number)
            is_there = _looked_for(self.render, order)
            if is_there is None:  # the storage is being restarted
                time.sleep(_PAUSE_S)
                continue
            brought = bring_segment(self.render.job, order) if is_there else None
            if brought is not None:
                self.brought += 1
                self.timings.extend(brought[1])
                self._note_done(order)
                return brought[0]
            with suppress(TransientError):  # the server is being restarted: this run renders on
                self.check()
                if self.edits:
                    self.edits.look_after(order.number)
            free = order if self.runs.is_lost(order.number) else self.runs.take()
            if free is None:
                time.sleep(_PAUSE_S)
            else:
                self._made[free.number] = self._rendered(free)

    def _rendered(self, order: SegmentOrder) -> MovieSegment:
        job = self.render.job
        others = self._frames_done()
        with job.stage(order.stage, part_of="encode") as meter:
            segment = render_segment(job, self.work, order, meter, lambda step: self._tell(others + step.done))
            self.timings.extend(meter.clock.timings())
        self._note_done(order)
        return segment

    def _note_done(self, order: SegmentOrder) -> None:
        self.runs.is_done.add(order.number)
        self._tell(self._frames_done())

    def _frames_done(self) -> int:
        return sum(len(self.orders[number].frames) for number in self.runs.is_done)

    def _tell(self, frames: int) -> None:
        self.progress(Progress("render", frames, len(self.render.plan.timeline)))

    def _show(self, segment: MovieSegment) -> None:
        """Give the preview the last key frame before each frame that it wants: others cost a decode of all."""
        wanted = [number for number in segment.frames if self.render.preview.wants(number)]
        if not wanted:
            return
        pts = self.render.plan.timeline.pts
        with av.open(str(segment.path)) as file:
            stream = file.streams.video[0]
            stream.codec_context.skip_frame = "NONKEY"
            ticks = (stream.time_base or Fraction(0)) / self.render.plan.timeline.time_base
            shown = next(pictures := file.decode(stream))
            for following in chain(pictures, [None]):
                until = segment.frames.stop if following is None else _number(pts, segment, following, ticks)
                if any(number < until for number in wanted):  # once, though it stands for several
                    self.render.preview.consider(wanted[0], shown)
                    wanted = [number for number in wanted if number >= until]
                shown = following or shown


def _number(pts: NDArray[np.int64], segment: MovieSegment, picture: av.VideoFrame, ticks: Fraction) -> int:
    """Which frame of the movie a picture of a segment's file is."""
    return int(np.searchsorted(pts, pts[segment.frames.start] + int((picture.pts or 0) * ticks)))


def _always(_: int) -> bool:
    return True


def _looked_for(render: RenderPass, order: SegmentOrder) -> bool | None:
    """Whether the segment is there; None where the storage does not answer."""
    try:
        return is_rendered(render.job, order)
    except TransientError:
        return None
