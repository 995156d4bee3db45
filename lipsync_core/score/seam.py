"""The seam of a painted mouth: a step of brightness or colour along the rim of its mask that the source does not have.

The step is taken from the change, output less source, so that skin, beards and noise, which both have, do not count. A
soft rim has none: the change begins at 0. Constants were chosen by `benchmarks/sync_score.py` (docs/score.md).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_EDGES = (0.0, 0.5)  # of the mask: where pixels begin to change, and where a mask that was cut off would end
_WINDOW = np.ones((5, 5), np.uint8)  # two pixels to either side of the rim
_ARCS = 16  # seen from the middle of the mask
_FEWEST_PX = 8  # of an arc, to either side
_QUARTER = 4


def seam_of(before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.float32]) -> float:
    """The step that a quarter of the rim exceeds, in levels of 255; 0 where nothing was painted.

    Args:
        before: (h, w, 3) RGB, the source's pixels.
        after: (h, w, 3) RGB, those of the output at the same place.
        mask: (h, w) 0..1, 0 where the source stays untouched.

    Raises:
        ValueError: the shapes do not match.
    """
    if before.shape != after.shape or before.shape[:2] != mask.shape:
        raise ValueError(f"before {before.shape}, after {after.shape}, mask {mask.shape}")
    return max(_step(before, after, _filled(mask > edge)) for edge in _EDGES)


def _filled(is_painted: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(h, w) 1 inside the outline of the largest painted part, holes included."""
    filled = np.zeros(is_painted.shape, np.uint8)
    outlines, _ = cv2.findContours(is_painted.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return filled


def _step(before: NDArray[np.uint8], after: NDArray[np.uint8], inside: NDArray[np.uint8]) -> float:
    """The step of the change from two pixels outside to two pixels inside, root mean square of the colours.

    The mean is taken along each arc before its size: texture that was moved cancels out, a step does not.
    """
    eroded = cv2.erode(inside, _WINDOW, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    dilated = cv2.dilate(inside, _WINDOW, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rim = cv2.findNonZero(dilated - eroded)  # x y of R pixels
    if rim is None:
        return 0.0
    columns, lines = rim.reshape(-1, 2).T
    angle = np.arctan2(lines - lines.mean(), columns - columns.mean())  # (R,)
    arcs = ((angle + np.pi) * (_ARCS / (2 * np.pi))).astype(np.intp) % _ARCS
    sides = arcs + _ARCS * inside[lines, columns]  # the arcs outside, then those inside
    change = np.subtract(after[lines, columns], before[lines, columns], dtype=np.float64)  # (R, 3)
    counts = np.bincount(sides, minlength=2 * _ARCS)
    sums = np.stack([np.bincount(sides, channel, 2 * _ARCS) for channel in change.T], axis=1)  # (2 A, 3)
    means = (sums / np.maximum(counts, 1)[:, np.newaxis]).reshape(2, _ARCS, 3)
    is_known = (counts.reshape(2, _ARCS) >= _FEWEST_PX).all(axis=0)
    sizes = np.sort(np.sqrt(np.square(means[1] - means[0]).mean(axis=1))[is_known])
    return float(sizes[-(len(sizes) // _QUARTER) - 1]) if len(sizes) else 0.0
