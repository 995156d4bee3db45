"""Segments of one movie: where it is cut, and the rendering of one, which is the same on this machine or another."""

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync_core.catalogue import RenderingParts
from lipsync_core.clip_plan import ClipPlan, plan_rendering
from lipsync_core.clock import StageClock
from lipsync_core.division import divided, part_count
from lipsync_core.inference import with_edits
from lipsync_core.movie import MovieRequest, MovieSegment, write_segment
from lipsync_core.render import ordered_frames
from lipsync_core.report import ProgressCallback
from lipsync_core.score.meter import MouthMeter, measured_frames

#: Frames of a segment. Of fewer an encoder may reorder none, and the next segment some: their decoding times differ.
FEWEST = 12
_BEFORE_A_JOIN = 2  # pictures that would look worse than in the whole movie, by .3 to 1 dB


class EditRows(Protocol):
    """The edits of a movie's synced frames."""

    def of(self, frames: range) -> NDArray[Any]:
        """(K, ...) those of the synced ones among `frames`, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class WholeEdits:
    """The edits of all synced frames in one array; see `EditRows`."""

    plan: ClipPlan
    rows: NDArray[Any]  # (K, ...)

    def of(self, frames: range) -> NDArray[Any]:
        """See `EditRows`."""
        before = int(np.count_nonzero(self.plan.is_synced[: frames.start]))
        return self.rows[before : before + self.plan.part(frames).counts.synced]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentWork:
    """All that the rendering of any segment of a movie needs."""

    plan: ClipPlan  # of the whole movie
    edits: EditRows
    rendering: RenderingParts
    request: MovieRequest
    meter: MouthMeter | None = None  # of the whole movie

    def render(self, frames: range, path: Path, clock: StageClock, progress: ProgressCallback) -> MovieSegment:
        """Write the movie's `frames` to `path`, as pictures alone.

        Raises:
            LipSyncError: as `movie.write_segment`, or the video cannot be read.
        """
        plan = self.plan.part(frames)
        edits = self.edits.of(frames)
        with closing(ordered_frames(plan.video, plan.clip.track, plan.timeline, clock)) as decoded:
            edited = with_edits(decoded, edits, plan.is_synced)
            measured = measured_frames(edited, plan_rendering(plan, self.rendering), self.meter, clock, frames.start)
            written = write_segment(measured, plan, path, self._before_a_join(frames), self.request, clock, progress)
        return MovieSegment(frames, path, written, None if self.meter is None else self.meter.taken())

    def _before_a_join(self, frames: range) -> range:
        """The pictures of the segment of `frames` that have another segment behind them."""
        count = len(frames)
        is_last = frames.stop == len(self.plan.timeline)
        return range(count if is_last else max(0, count - _BEFORE_A_JOIN), count)


def cut(plan: ClipPlan, longest_s: Fraction) -> tuple[range, ...]:
    """The frames of the movie of `plan` in segments of nearly equal numbers, which last about `longest_s` at most.

    Frames are divided by their number: where they last differently, so do the segments. Each has `FEWEST` at least.
    """
    frames = len(plan.timeline)
    return divided(frames, min(part_count(plan.timeline.duration_s, longest_s), frames // FEWEST))
