"""The start times of a video's frames, collected while it is decoded."""

from array import array
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

#: In a format whose timestamps may jump, a longer step forward is a jump, as FFmpeg has it.
JUMP_S = Fraction(10)
_JUMP_BACK_S = Fraction(
    1, 2
)  # timestamps that fall back by more than this were reset; a smaller step is a frame out of order


class FrameTimes:
    """Start times of the frames so far, as integers: as stored, and corrected so that they ascend from 0.

    Where timestamps `may_jump`, a step forward by more than `JUMP_S` becomes that of one frame.
    """

    def __init__(self, time_base: Fraction, nominal_duration: int, *, may_jump: bool = False) -> None:
        self._nominal_duration = nominal_duration  # in units of time_base
        self._jump = JUMP_S / time_base if may_jump else None
        self._jump_back = _JUMP_BACK_S / time_base
        self._stored = array("q")
        self._pts = array("q")
        self._is_guessed = False  # the file lacks pts, so the demuxer's durations are guesses, too
        self._missing = 0  # frames without a pts
        self._origin = 0  # stored minus corrected pts, at the last frame

    def __len__(self) -> int:
        return len(self._pts)

    def append(self, stored: int | None, shown: int | None = None) -> None:
        """Add the next frame by its pts as stored; None if it has none.

        `shown` is the pts at which it appears, where that is another.
        """
        has_pts = stored is not None
        if stored is None:
            self._is_guessed = True
            self._missing += 1
            stored = self._stored[-1] + self._nominal_duration if self._stored else 0
        shown = stored if shown is None else shown
        if not self._pts:
            self._origin = shown
        elif self._missing == len(self._pts) and has_pts:  # the first that has one follows those that have none
            self._origin = shown - self._pts[-1] - self._nominal_duration
        pts = shown - self._origin
        if self._pts and pts <= self._pts[-1]:
            pts = self._corrected(pts)
            if stored < self._stored[-1] - self._jump_back:
                self._origin = shown - pts
        elif self._pts and self._jump is not None and pts > self._pts[-1] + self._jump:
            pts = self._pts[-1] + self._nominal_duration
            self._origin = shown - pts
        self._stored.append(stored)
        self._pts.append(pts)

    def extend(self, frame_pts: Sequence[int]) -> None:
        """Add frames by the corrected pts of all frames, from an earlier pass; frames already here are skipped."""
        known = len(self._pts)
        for pts in frame_pts[known:]:
            self._pts.append(int(pts))
            self._stored.append(int(pts) + self._origin)

    def pts(self, index: int) -> int:
        """The corrected start time of a frame, counted from 0."""
        return self._pts[index]

    def stored(self, index: int) -> int:
        """The pts of a frame as stored in the file."""
        return self._stored[index]

    def duration(self, index: int, own: int) -> int:
        """The time to the next frame; for the last frame its `own` duration, or the median if `own` is 0 (unknown)."""
        if index + 1 < len(self._pts):
            return self._pts[index + 1] - self._pts[index]
        if own > 0 and not self._is_guessed:
            return own
        if len(self._pts) < 2:
            return self._nominal_duration
        return max(1, int(np.median(np.diff(np.frombuffer(self._pts, np.int64)))))

    def _corrected(self, pts: int) -> int:
        last = self._pts[-1]
        return last + self._nominal_duration if pts < last - self._jump_back else last + 1
