"""The flicker of a painted mouth from one frame to the next, beyond that of the source at the same place.

Both are compared small (`_SIDE` squared means of the brightness), so that noise and grain, which a network's patch does
not have, do not count. Two faults are told apart: a place that becomes brighter or darker as a whole, which no movement
of lips explains, for more than half of the place is skin; and a place that stays as it was while the source goes on.
Constants were chosen by `benchmarks/sync_score.py` (docs/score.md).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.planes import Box
from lipsync_core.render import EditedRegion

_SIDE = 64
_PAINTED = 0.99  # of a square's pixels, in both frames
_FEWEST = 200  # squares
_LEAST_OVERLAP = 0.5  # of either region
_UNCHANGED = 0.5  # levels


class PairChange(NamedTuple):
    """What changed from one frame to the next in the painted place, beyond the source."""

    flicker: float  # levels of 255: the mean of the middle half of all squares' change, less the source's; no sign
    held: float  # -1..1: the share of squares that did not change, less the source's share


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What is kept of a painted place until the next frame: a third of its bytes, which large pictures have many of."""

    box: Box  # in the frame
    before: NDArray[np.uint8]  # (h, w) brightness of the source
    after: NDArray[np.uint8]  # (h, w) brightness of the output
    is_painted: NDArray[np.bool_]  # (h, w)

    @classmethod
    def of(cls, region: EditedRegion) -> "Place":
        """That of `region`."""
        return cls(region.box, _brightness(region.before), _brightness(region.after), region.mask > 0)


def pair_change(first: Place, second: Place) -> PairChange | None:
    """What changed between two frames that follow each other; None where too little was painted in both."""
    box = _shared(first.box, second.box)
    if box is None:
        return None
    parts = [_cut(each, box) for each in (first, second)]
    is_painted = _small((parts[0][2] & parts[1][2]).astype(np.float32)) > _PAINTED
    if is_painted.sum() < _FEWEST:
        return None
    one, other = [[_small(pixels.astype(np.float32))[is_painted] for pixels in part[:2]] for part in parts]  # (P,) each
    source, output = (later - earlier for earlier, later in zip(one, other, strict=True))
    beyond = np.sort(output - source)
    middle = beyond[len(beyond) // 4 : len(beyond) - len(beyond) // 4]
    held = _unchanged_share(output) - _unchanged_share(source)
    return PairChange(abs(float(middle.mean())), held)


def _shared(one: Box, other: Box) -> Box | None:
    """The part of the picture that lies in both; None where it is small."""
    box = Box(max(one.x0, other.x0), max(one.y0, other.y0), min(one.x1, other.x1), min(one.y1, other.y1))
    larger = max(one.width * one.height, other.width * other.height)
    return None if box.is_empty or box.width * box.height < _LEAST_OVERLAP * larger else box


def _cut(place: Place, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Source, output and what is painted of `place` in `box`, which lies in it."""
    lines = slice(box.y0 - place.box.y0, box.y1 - place.box.y0)
    columns = slice(box.x0 - place.box.x0, box.x1 - place.box.x0)
    return place.before[lines, columns], place.after[lines, columns], place.is_painted[lines, columns]


def _brightness(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), np.uint8)


def _small(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(_SIDE, _SIDE) means."""
    return np.asarray(cv2.resize(plane, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _unchanged_share(change: NDArray[np.float32]) -> float:
    return float((np.abs(change) <= _UNCHANGED).mean())
