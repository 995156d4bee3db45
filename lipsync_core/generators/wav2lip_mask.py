"""The mask: the part of a Wav2Lip face that is painted into the frame.

It has the 96 x 96 grid of the network's picture, and determines the rows of that picture that have to be computed.
"""

import numpy as np
from numpy.typing import NDArray

FACE_PX = 96

# Below the eyes and the middle of the nose, which speech does not move; soft towards all sides.
_TOP_ROW, _TOP_RAMP = 44, 9  # the last row that stays untouched, and the rows until full weight
_BOTTOM_ROW, _BOTTOM_RAMP = 95, 7
_SIDE_COLUMN, _SIDE_RAMP = 0, 12


def mouth_mask() -> NDArray[np.float32]:
    """(96, 96) float32 weights in 0..1, exactly 0 in every row up to 44 and along the other three edges."""
    at = np.arange(FACE_PX)
    down = np.minimum(_ramp(at - _TOP_ROW, _TOP_RAMP), _ramp(_BOTTOM_ROW - at, _BOTTOM_RAMP))
    across = np.minimum(_ramp(at - _SIDE_COLUMN, _SIDE_RAMP), _ramp(FACE_PX - 1 - _SIDE_COLUMN - at, _SIDE_RAMP))
    return np.outer(down, across).astype(np.float32)


def first_row_read(mask: NDArray[np.float32]) -> int:
    """The first row of the picture that painting through `mask` (96, 96) can depend on.

    One row above the first weight, because resizing blends neighbouring rows; and one more, because a blender that
    works on gradients looks at the pixels around the mask.
    """
    first_weight = int(np.flatnonzero(mask.any(axis=1))[0])
    return max(0, first_weight - 2)


def _ramp(distance_px: NDArray[np.int_], length_px: int) -> NDArray[np.float64]:
    """0 at distance 0 and below, 1 from `length_px` on, smooth (no kink) at both ends."""
    share = np.clip(distance_px / length_px, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


#: Rows 43-95 of the picture carry everything that the mask lets through.
FIRST_ROW = first_row_read(mouth_mask())
