"""When each frame of a video is shown, learnt while decoding it."""

from array import array
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

_JUMP_BACK_S = 1  # a clock that falls back by more than this was reset; less is a frame out of place


class FrameTimes:
    """Start times of the frames so far: as stored, and mended so that they ascend from 0. Integers only."""

    def __init__(self, time_base: Fraction, nominal_duration: int) -> None:
        self._nominal_duration = nominal_duration  # in units of time_base
        self._jump_back = _JUMP_BACK_S / time_base
        self._stored = array("q")
        self._pts = array("q")
        self._is_guessed = False  # the file holds no pts, so durations from its demuxer are guesses, too
        self._origin = 0  # stored minus mended, at the last frame

    def __len__(self) -> int:
        return len(self._pts)

    def append(self, stored: int | None) -> None:
        """Add the next frame by its pts as stored, None where it has none."""
        if stored is None:
            self._is_guessed = True
            stored = self._stored[-1] + self._nominal_duration if self._stored else 0
        if not self._pts:
            self._origin = stored
        pts = stored - self._origin
        if self._pts and pts <= self._pts[-1]:
            pts = self._mended(pts)
            if stored < self._stored[-1] - self._jump_back:
                self._origin = stored - pts
        self._stored.append(stored)
        self._pts.append(pts)

    def extend(self, frame_pts: Sequence[int]) -> None:
        """Add frames known from an earlier pass: the mended pts of all from the second one on."""
        known = len(self._pts)
        for pts in frame_pts[known:]:
            self._pts.append(int(pts))
            self._stored.append(int(pts) + self._origin)

    def pts(self, index: int) -> int:
        """Start of a frame, from 0."""
        return self._pts[index]

    def stored(self, index: int) -> int:
        """The pts that the file gives a frame."""
        return self._stored[index]

    def duration(self, index: int, own: int) -> int:
        """To the next frame; the last one's `own` (0 where unknown), else the median."""
        if index + 1 < len(self._pts):
            return self._pts[index + 1] - self._pts[index]
        if own > 0 and not self._is_guessed:
            return own
        if len(self._pts) < 2:
            return self._nominal_duration
        return max(1, int(np.median(np.diff(np.frombuffer(self._pts, np.int64)))))

    def _mended(self, pts: int) -> int:
        last = self._pts[-1]
        return last + self._nominal_duration if pts < last - self._jump_back else last + 1
