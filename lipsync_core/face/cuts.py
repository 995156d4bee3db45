"""Detects the cuts between shots."""

from collections import deque

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.track import Arrays, ReadArrays
from lipsync_core.media.planes import plane_samples

_SIZE = (32, 18)  # width, height of the thumbnails compared
_SAMPLED_PX = 90  # rows or columns that are sampled along the shorter side
#: A cut changes the mean luma of a cell by more than this (8-bit steps) ...
_MIN_CHANGE = 12.0
#: ... and by more than this many times the recent change per frame (a moving camera changes every frame).
_MIN_RATIO = 4.0
_MEMORY = 0.8  # the weight of a change in the recent one, over that of the change after it
_REMEMBERED = 12  # changes; the ones before them would weigh 7 % in all
#: A detector that begins inside a video is in the same state as one that began with the video, after so many frames.
WARM_UP_FRAMES = 2 * _REMEMBERED


class CutDetector:
    """Compares the luma of each frame, reduced to 32 x 18 cells, with that of the frame before."""

    def __init__(self, state: ReadArrays | None = None) -> None:
        self._before = state["luma"].astype(np.float32) if state and state["luma"].size else None
        self._changes = deque[float](state["changes"].tolist() if state else (), maxlen=_REMEMBERED)
        self._is_warm = False  # it has been warmed, for long enough to tell cuts

    def is_cut(self, picture: av.VideoFrame) -> bool:
        """Whether `picture` starts a new shot. Call once per frame, in order; the first is no cut."""
        change = self._change(picture)
        is_cut = change > _MIN_CHANGE and change > _MIN_RATIO * self._usual()
        if is_cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return is_cut

    def warm(self, picture: av.VideoFrame) -> None:
        """See one of the `WARM_UP_FRAMES` before the first whose cut is asked for.

        The usual change has to be known before a frame can be told from a cut, so nothing is one in the first half.
        """
        if self._is_warm:
            self.is_cut(picture)
        elif self._before is None:
            self._change(picture)
        else:
            self._changes.append(self._change(picture))
            self._is_warm = len(self._changes) == _REMEMBERED

    def state(self) -> Arrays:
        """What it remembers: `luma` (18, 32) of the last frame, and the last `changes` (n,) since the last cut."""
        luma = np.zeros((0, 0), np.float32) if self._before is None else self._before
        return {"luma": luma, "changes": np.array(self._changes, np.float64)}

    def _change(self, picture: av.VideoFrame) -> float:
        """The mean change of a cell since the frame before; 0 for the first frame."""
        luma = _luma(picture)
        before, self._before = self._before, luma
        return 0.0 if before is None else float(np.abs(luma - before).mean())

    def _usual(self) -> float:
        """The recent change from frame to frame: a running mean that began with 0."""
        mean = 0.0
        for change in self._changes:
            mean = _MEMORY * mean + (1 - _MEMORY) * change
        return mean


def _luma(picture: av.VideoFrame) -> NDArray[np.float32]:
    """(18, 32) mean luma of each cell, in 8-bit steps."""
    luma = plane_samples(picture, 0)
    step = max(1, min(luma.shape) // _SAMPLED_PX)
    reduced = cv2.resize(np.ascontiguousarray(luma[::step, ::step]), _SIZE, interpolation=cv2.INTER_AREA)
    scaled: NDArray[np.float32] = reduced.astype(np.float32) / 2 ** (picture.format.components[0].bits - 8)
    return scaled
