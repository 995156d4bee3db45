"""Where a follower looks for its face anew: where a shot begins, and every few seconds inside it.

What it knows of the frames before is then checked against a search of the whole picture. So a follower that begins
there comes to the same result, and a long video can be tracked in parts.
"""

from enum import Enum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.cuts import WARM_UP_FRAMES, CutDetector
from lipsync_core.face.track import Arrays, ReadArrays
from lipsync_core.media.source_frame import SourceFrame

#: A search costs as much as some six frames in which the face is followed.
STRETCH_S = 4


class Beginning(Enum):
    """What begins with a frame."""

    NOTHING = "nothing"
    SHOT = "shot"
    STRETCH = "stretch"  # of a shot: its face is searched for in the whole picture


class Shots:
    """Tells what begins with each frame of a video, in order."""

    def __init__(self, state: ReadArrays | None = None) -> None:
        self._cuts = CutDetector(state)
        self._stretch = int(state["stretch"]) if state else 0  # of the last frame

    def beginning(self, frame: SourceFrame) -> Beginning:
        """What begins with the next frame."""
        before, self._stretch = self._stretch, _stretch_of(frame.start_s)
        if self._cuts.is_cut(frame.picture):
            return Beginning.SHOT
        return Beginning.NOTHING if self._stretch == before else Beginning.STRETCH

    def warm(self, frame: SourceFrame) -> None:
        """See one of the frames before the first: `part_starts` says how many."""
        self._stretch = _stretch_of(frame.start_s)
        self._cuts.warm(frame.picture)

    def state(self) -> Arrays:
        """What it remembers."""
        return {**self._cuts.state(), "stretch": np.array(self._stretch)}


def part_starts(frame_pts: NDArray[np.int64], time_base: Fraction) -> NDArray[np.int64]:
    """The numbers of the frames from which a follower may begin; `WARM_UP_FRAMES` are before each."""
    stretches = frame_pts * time_base.numerator // (STRETCH_S * time_base.denominator)
    starts = np.flatnonzero(np.diff(stretches)) + 1
    return starts[starts >= WARM_UP_FRAMES]


def _stretch_of(start_s: Fraction) -> int:
    return int(start_s // STRETCH_S)
