"""A movie by several processes of this machine, each at a segment of it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipsync_core.catalogue import JobParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.errors import LipSyncError, error_of
from lipsync_core.media.output import output_errors
from lipsync_core.movie import MovieSegment, WrittenMovie, join_segments
from lipsync_core.part_processes import PartProcesses, can_copy_this_process, jobs_for_the_machine
from lipsync_core.report import ProgressCallback
from lipsync_core.segment_work import FEWEST, SegmentWork, cut
from lipsync_core.waits import Waits

#: A segment costs a decode from the key frame before it and an encoder: of much shorter ones that is a tenth.
_SHORTEST_S = Fraction(2)
_LONGEST_S = Fraction(60)  # of what is done again where a process is killed, and of what lies on the disk


def chosen_jobs(wanted: int | None, plan: ClipPlan, parts: JobParts, encoder: EncoderChoice) -> int:
    """How many processes are to render the movie of `plan`; `wanted` None: as cores and memory allow.

    It is one where a network sees the pictures, for it has threads, which copies of a process lack; where a GPU that
    was chosen by itself encodes, which takes few movies at a time; and where the movie is too short.
    """
    sees_pictures = (
        parts.inference.generator.cropper(plan.clip.track) is not None or parts.rendering.enhancer is not None
    )
    if wanted == 1 or sees_pictures or encoder.fallback is not None or not can_copy_this_process():
        return 1
    most = max(1, min(int(plan.timeline.duration_s / _SHORTEST_S), len(plan.timeline) // FEWEST))
    return min(most, wanted or jobs_for_the_machine(plan.video.picture.size_bytes))


def movie_of_segments(work: SegmentWork, jobs: int, clock: StageClock, progress: ProgressCallback) -> WrittenMovie:
    """Render the segments of `work` by so many processes, and join them.

    Raises:
        LipSyncError: as `PartProcesses.in_order` and `movie.join_segments`.
    """
    longest_s = max(_SHORTEST_S, min(_LONGEST_S, work.plan.timeline.duration_s / jobs))
    output = work.request.output.resolve()
    with (  # beside the output, whose disk has room for it
        output_errors(output),
        tempfile.TemporaryDirectory(prefix=f".{output.stem[:40]}.", dir=output.parent) as folder,
        PartProcesses(Segments(work, cut(work.plan, longest_s), Path(folder)), jobs) as processes,
    ):
        waits = Waits(_each(processes.in_order(clock, progress)))
        movie = join_segments(waits, work.plan, work.request, clock)
    clock.absorb(processes.timings, waits.waited_s)
    return movie


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The segments of a movie, each a file in `folder`, as the parts of `PartWork`."""

    work: SegmentWork
    segments: tuple[range, ...]
    folder: Path

    @property
    def part_name(self) -> str:
        """See `PartWork`."""
        return "a segment of the movie"

    @property
    def part_frames(self) -> tuple[int, ...]:
        """See `PartWork`."""
        return tuple(len(frames) for frames in self.segments)

    def do(self, number: int, clock: StageClock, progress: ProgressCallback) -> MovieSegment:
        """See `SegmentWork.render`."""
        path = self.folder / f"segment-{number:05d}.mp4"
        try:
            return self.work.render(self.segments[number], path, clock, progress)
        except LipSyncError as error:
            shown = error.message.replace(str(path), str(self.work.request.output))  # nobody knows the segment's file
            raise error_of(error.code, shown, error.remedy) from error


def _each(segments: Iterator[MovieSegment]) -> Iterator[MovieSegment]:
    """The segments; the file of one is removed when the next one is asked for."""
    for segment in segments:
        yield segment
        segment.path.unlink(missing_ok=True)
