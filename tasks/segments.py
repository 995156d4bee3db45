"""A segment of a long job: its order, its rendering on any machine, and the two files that it leaves for the job.

Both files carry the job's id, and the sum of all that the edits depend on. So an attempt finds what an earlier one has
rendered, and a segment that two machines render is written twice, the same.
"""

import shutil
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from lipsync_core.catalogue import load_rendering
from lipsync_core.clip_plan import ClipPlan, lay_out
from lipsync_core.clock import StageTiming
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.media.source_frame import Shape
from lipsync_core.movie import MovieRequest, MovieSegment, output_labels
from lipsync_core.movie_pictures import WrittenPictures
from lipsync_core.report import ProgressCallback
from lipsync_core.score.motion import SeenMouths
from lipsync_core.score.seen import Seen, SeenPictures
from lipsync_core.segment_work import EditRows, SegmentWork, WholeEdits, cut
from lipsync_core.source_video import SourceVideo
from lipsync_service.errors import ObjectMissingError
from tasks.edit_parts import PartEdits
from tasks.edits import open_edits
from tasks.job import EditsReference, Inferred, ServiceJob
from tasks.mouths import open_mouths
from tasks.part_order import PartOrder
from tasks.rendering import RenderPass
from tasks.stage_log import StageMeter
from tasks.tracks import read_clip

#: The code that encodes. Segments of two versions of it need not go together.
_MADE_BY = f"lipsync {version('lipsync')}, PyAV {version('av')}"


class SegmentOrder(PartOrder):
    """What a run needs to render one segment, beside the job's request."""

    kind: Literal["segment"] = "segment"
    inferred: Inferred
    encoder: EncoderChoice


class SegmentFacts(BaseModel):
    """What the job has to know of a segment that was rendered elsewhere."""

    model_config = ConfigDict(frozen=True)

    width_px: int
    height_px: int
    changes: tuple[str, ...]
    others: tuple[tuple[Shape, int], ...]
    timings: tuple[StageTiming, ...]
    made_by: str  # see `_MADE_BY`
    seen: tuple[tuple[int, float, float], ...] | None = None  # the rows of `SeenMouths`
    pictures: SeenPictures = SeenPictures()

    @classmethod
    def of(cls, segment: MovieSegment, timings: tuple[StageTiming, ...]) -> "SegmentFacts":
        """Those of `segment`."""
        written = segment.written
        others = tuple(written.others.items())
        return cls(
            width_px=written.width_px,
            height_px=written.height_px,
            changes=written.changes,
            others=others,
            timings=timings,
            made_by=_MADE_BY,
            seen=None if segment.seen is None else tuple(segment.seen.mouths.rows()),
            pictures=SeenPictures() if segment.seen is None else segment.seen.pictures,
        )

    @property
    def written(self) -> WrittenPictures:
        """As the movie takes them."""
        return WrittenPictures(self.width_px, self.height_px, self.changes, dict(self.others))

    @property
    def measured(self) -> Seen | None:
        """All that was measured in it."""
        return None if self.seen is None else Seen(SeenMouths.of_rows(self.seen), self.pictures)


def segment_orders(render: RenderPass, inferred: Inferred, job_id: UUID) -> tuple[SegmentOrder, ...]:
    """The segments of a job that is longer than one; empty where it is rendered as a whole, or has been."""
    longest_s = render.job.longest_segment_s
    may_divide = may_be_divided(render.job, render.encoder)
    if render.is_kept or not may_divide:
        return ()
    segments = cut(render.plan, longest_s)
    if len(segments) < 2:
        return ()
    stem = f"segments/{job_id}-{PurePosixPath(render.edits.url).stem}-{render.encoder.chosen}-{len(segments)}"
    return tuple(
        SegmentOrder(
            number=number,
            count=len(segments),
            first=frames.start,
            stop=frames.stop,
            url=render.job.shared(f"{stem}-{number:05d}.mp4"),
            inferred=inferred,
            encoder=render.encoder,
        )
        for number, frames in enumerate(segments)
    )


def may_be_divided(job: ServiceJob, encoder: EncoderChoice) -> bool:
    """Whether a long movie of the job is rendered in segments: not by a GPU, which takes few movies at a time."""
    return job.longest_segment_s > 0 and encoder.fallback is None


def work_of(render: RenderPass) -> SegmentWork:
    """The work of a job whose pass is open here."""
    request = MovieRequest(
        render.output,
        render.inputs.audio.path,
        render.job.options,
        render.encoder,
        output_labels(render.parts),
        add_seen=render.seen.append,
    )
    rows = edit_rows(render.job, render.plan, render.edits, render.rows)
    return SegmentWork(render.plan, rows, render.parts, request, render.meter)


def edit_rows(job: ServiceJob, plan: ClipPlan, edits: EditsReference, rows: Path | None = None) -> EditRows:
    """The stored edits of a movie; `rows` are they, where they are in one file and here already.

    Raises:
        ObjectMissingError: they are no longer kept.
        ChecksumError: they are not rows for these frames.
    """
    if edits.count > 1:
        return PartEdits(job, plan, edits)
    return WholeEdits(plan, open_edits(rows or job.hold(job.files.fetch_shared(edits.url)).path, plan))


def open_segment(job: ServiceJob, video: SourceVideo, order: SegmentOrder) -> SegmentWork:
    """The work of a job that another machine has begun.

    Raises:
        LipSyncError: as `tasks.rendering.open_render`.
    """
    inferred = order.inferred
    parts = load_rendering(inferred.parts.model, job.options, job.models, job.execution)
    clip = read_clip(job, inferred.track)
    plan = lay_out(video, clip, inferred.track.sound_end_s, parts.painting, job.options)
    nothing = Path()  # a segment has no sound, and its file is named when it is rendered
    request = MovieRequest(nothing, nothing, job.options, order.encoder, {})
    rows = edit_rows(job, plan, inferred.edits)
    known = rows.rows if isinstance(rows, WholeEdits) else None
    return SegmentWork(plan, rows, parts, request, open_mouths(job, plan, parts.identity, known))


def render_segment(
    job: ServiceJob, work: SegmentWork, order: SegmentOrder, meter: StageMeter, progress: ProgressCallback
) -> MovieSegment:
    """Render the segment, and keep it where the job finds it.

    Raises:
        LipSyncError: as `SegmentWork.render`, or the shared storage does not take it.
    """
    path = job.folder / f"segment-{order.number:05d}.mp4"
    segment = work.render(order.frames, path, meter.clock, progress)
    meter.items, meter.size_bytes = len(order.frames), path.stat().st_size
    timings = meter.clock.timings()
    job.files.put_shared(path, order.url)
    facts = job.folder / f"{path.stem}.json"
    facts.write_text(SegmentFacts.of(segment, timings).model_dump_json(), encoding="utf-8")
    job.files.put_shared(facts, order.facts_url)
    facts.unlink()
    return segment


def is_rendered(job: ServiceJob, order: SegmentOrder) -> bool:
    """Whether both files are there. Raises TransientError where the shared storage does not answer."""
    return job.files.exists(order.facts_url)


def bring_segment(job: ServiceJob, order: SegmentOrder) -> tuple[MovieSegment, tuple[StageTiming, ...]] | None:
    """A segment that was rendered, in the job's folder, and what its stages took.

    None where it is not there, or was made by another version.
    """
    path = job.folder / f"segment-{order.number:05d}.mp4"
    try:
        with job.files.fetch_shared(order.facts_url) as copy:
            facts = SegmentFacts.model_validate_json(copy.path.read_bytes())
        if facts.made_by != _MADE_BY:
            return None
        with job.files.fetch_shared(order.url) as copy:
            shutil.copyfile(copy.path, path)
    except (ObjectMissingError, ValidationError):
        return None
    return MovieSegment(order.frames, path, facts.written, facts.measured), facts.timings


def discard_segments(job: ServiceJob, orders: tuple[SegmentOrder, ...]) -> None:
    """Remove the files of all segments: the movie is made."""
    for order in orders:
        job.files.discard(order.facts_url)
        job.files.discard(order.url)
