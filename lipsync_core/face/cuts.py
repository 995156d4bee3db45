"""Detects the cuts between shots."""

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.planes import plane_samples

_SIZE = (32, 18)  # width, height of the thumbnails compared
_SAMPLED_PX = 90  # rows or columns that are sampled along the shorter side
#: A cut changes the mean luma of a cell by more than this (8-bit steps) ...
_MIN_CHANGE = 12.0
#: ... and by more than this many times the recent change per frame (a moving camera changes every frame).
_MIN_RATIO = 4.0
_MEMORY = 0.8  # share of the running mean that survives a frame


class CutDetector:
    """Compares the luma of each frame, reduced to 32 x 18 cells, with that of the frame before."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._usual = 0.0  # running mean of the change from frame to frame

    def is_cut(self, picture: av.VideoFrame) -> bool:
        """Whether `picture` starts a new shot. Call once per frame, in order; the first is no cut."""
        luma = _luma(picture)
        before, self._before = self._before, luma
        if before is None:
            return False
        change = float(np.abs(luma - before).mean())
        is_cut = change > _MIN_CHANGE and change > _MIN_RATIO * self._usual
        self._usual = 0.0 if is_cut else _MEMORY * self._usual + (1 - _MEMORY) * change
        return is_cut


def _luma(picture: av.VideoFrame) -> NDArray[np.float32]:
    """(18, 32) mean luma of each cell, in 8-bit steps."""
    luma = plane_samples(picture, 0)
    step = max(1, min(luma.shape) // _SAMPLED_PX)
    reduced = cv2.resize(np.ascontiguousarray(luma[::step, ::step]), _SIZE, interpolation=cv2.INTER_AREA)
    scaled: NDArray[np.float32] = reduced.astype(np.float32) / 2 ** (picture.format.components[0].bits - 8)
    return scaled
