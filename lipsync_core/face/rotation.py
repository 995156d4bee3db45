"""Pictures that are stored rotated: from coded to displayed pixels, and back."""

import av
import numpy as np
from numpy.typing import NDArray


def quarter_turns(picture: av.VideoFrame) -> int:
    """The number of quarter turns counterclockwise (`np.rot90`) that make the coded picture upright, 0..3."""
    return round(picture.rotation / 90) % 4


def turned_back(points: NDArray[np.float32], quarters: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(N, 2) x y before `np.rot90(picture, quarters)` of a picture of `shape` (h, w)."""
    height, width = shape
    x, y = points[:, 0], points[:, 1]
    if quarters == 1:
        return np.stack([width - 1 - y, x], axis=1)
    if quarters == 2:
        return np.stack([width - 1 - x, height - 1 - y], axis=1)
    if quarters == 3:
        return np.stack([y, height - 1 - x], axis=1)
    return points


def turned(points: NDArray[np.float32], quarters: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(N, 2) x y after `np.rot90(picture, quarters)` of a picture of `shape` (h, w): what `turned_back` takes back."""
    sides = shape[:2] if quarters % 2 == 0 else shape[1::-1]
    return turned_back(points, -quarters % 4, sides)
