"""The warp: two thin-plate fields, one for each lip, joined at the mouth line.

A single smooth field cannot part two lips. The upper field moves the pixels above the mouth line, the
lower field those below; the join is sharp inside the mouth and softens beyond its corners.
The fields are solved on a coarse grid and mapped into the frame. The frame's own pixels are then
resampled once, so the result is as sharp as the source at any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.generators.viseme.canonical import MOVING_PART, SIDE_PX
from lipsync_core.generators.viseme.shape import MouthShape, Pull

_STEP_PX = 8
_STIFFNESS = 25.0  # lets control points of a noisy mesh miss by a fraction of a pixel instead of creasing the skin
_JOIN_PX = 0.4  # softness of the join inside the mouth
_JOIN_GROWTH = 0.5  # and its growth per pixel beyond the corners
_STILL_PX = 0.02  # frame pixels that would move less than this stay as they are
_FULL_PX = 0.12

_CELLS = np.arange(_STEP_PX / 2 - 0.5, SIDE_PX, _STEP_PX)
_GRID = np.stack(np.meshgrid(_CELLS, _CELLS), -1).reshape(-1, 2)  # (G, 2)
_ACROSS, _DOWN = np.meshgrid(np.arange(SIDE_PX, dtype=np.float32), np.arange(SIDE_PX, dtype=np.float32))


def _reach() -> NDArray[np.float32]:
    """(G, 1) 1 around mouth and chin, falling smoothly to 0 at the edges of the moving part (a super-ellipse)."""
    left, top, right, bottom = MOVING_PART
    across = (_GRID[:, 0] - (left + right) / 2) / ((right - left) / 2)
    down = (_GRID[:, 1] - (top + bottom) / 2) / ((bottom - top) / 2)
    inward = ((1.0 - (across**4 + down**4) ** 0.25) / 0.25).clip(0.0, 1.0)
    return (inward**2 * (3.0 - 2.0 * inward)).astype(np.float32)[:, None]


_REACH = _reach()
_REACHED = np.flatnonzero(_REACH[:, 0])  # the only grid points at which a field is needed
_REACHED_AT = _GRID[_REACHED].astype(np.float32)

#: (R, 2) points along the crop's border, which never move.
RING = np.array(
    [(x, y) for x in np.linspace(4, 252, 9) for y in (4, 252)]
    + [(x, y) for y in np.linspace(35, 220, 7) for x in (4, 252)]
)


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """The source position of each pixel of a region."""

    shift_x: NDArray[np.float32]  # (h, w) frame pixels, from a pixel's own position to its source
    shift_y: NDArray[np.float32]  # (h, w)
    strength: NDArray[np.float32]  # (h, w) 0 where nothing moves, 1 where it visibly does

    def apply(self, region: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w, 3) the warped region: each pixel resampled at its source position."""
        height, width = region.shape[:2]
        columns = self.shift_x + np.arange(width, dtype=np.float32)
        lines = self.shift_y + np.arange(height, dtype=np.float32)[:, None]
        return cv2.remap(region, columns, lines, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(
            np.uint8, copy=False
        )


def mouth_warp(shape: MouthShape, to_canonical: NDArray[np.float64], size: tuple[int, int]) -> Warp:
    """The warp that gives a region the wanted mouth.

    Args:
        shape: control points in canonical pixels.
        to_canonical: (2, 3) from the region's pixels to the canonical crop.
        size: (height, width) of the region.
    """
    back = np.linalg.inv(to_canonical[:, :2]).T.astype(np.float32)  # canonical shifts -> frame shifts
    upper = _thin_plate(shape.upper, back)  # (G, 2)
    lower = _thin_plate(shape.lower, back)
    # Both fields at once: to find the place of a pixel costs more than its value.
    fields = _refined(np.concatenate([upper, lower - upper], 1))
    planes = cast(Sequence[NDArray[np.float32]], cv2.split(_into_region(fields, to_canonical, size)))
    shift_x, shift_y, more_x, more_y = planes  # (h, w) each
    share = _lower_share(shape, to_canonical, size)
    more_x *= share
    more_y *= share
    shift_x += more_x
    shift_y += more_y
    moved = np.maximum(np.abs(shift_x, out=more_x), np.abs(shift_y, out=more_y), out=more_x)
    moved -= _STILL_PX
    moved *= 1.0 / (_FULL_PX - _STILL_PX)
    return Warp(shift_x, shift_y, moved.clip(0.0, 1.0, out=moved))


def _refined(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, C) on the grid to (256, 256, C)."""
    cells = len(_CELLS)
    refined = cv2.resize(field.reshape(cells, cells, -1), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return refined.astype(np.float32, copy=False)


def _lower_share(shape: MouthShape, to_canonical: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) the share of the lower field at each pixel of a region: 0 above the mouth line, 1 below it."""
    share = _into_region(_below_mouth_line(shape), to_canonical, size)
    share *= 0.25
    share += 0.5
    return share.clip(0.0, 1.0, out=share)


def _thin_plate(pull: Pull, back: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, 2) frame displacements on the grid (Bookstein 1989, "Principal warps", with a smoothing diagonal)."""
    goals, count = pull.goals, len(pull.goals)
    affine = np.concatenate([np.ones((count, 1)), goals], 1)  # (P, 3)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(goals, goals)
    system[np.arange(count), np.arange(count)] += _STIFFNESS
    system[:count, count:], system[count:, :count] = affine, affine.T
    values = np.concatenate([pull.origins - goals, np.zeros((3, 2))])
    weights = np.linalg.solve(system, values).astype(np.float32)  # (P + 3, 2)
    own = count - len(RING)  # the ring comes last, and never moves
    bent = _kernel(_REACHED_AT, goals[:own].astype(np.float32)) @ weights[:own] + _RING_KERNEL @ weights[own:count]
    canonical = bent + weights[count] + _REACHED_AT @ weights[count + 1 :]
    shifts = np.zeros((len(_GRID), 2), np.float32)
    shifts[_REACHED] = (canonical * _REACH[_REACHED]) @ back
    return shifts


def _kernel(at: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.floating]:
    """(A, P) r² log r."""
    squared = (at**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * at @ centres.T
    squared = np.maximum(squared, 1e-6)
    kernel: NDArray[np.floating] = 0.5 * squared * np.log(squared)
    return kernel


#: (R, 32) Of the reached grid points from the ring: the same for every frame.
_RING_KERNEL = _kernel(_REACHED_AT, RING.astype(np.float32))


def _below_mouth_line(shape: MouthShape) -> NDArray[np.float32]:
    """(256, 256) the distance of each canonical pixel below the mouth line, in units of the join's softness."""
    columns = np.arange(SIDE_PX, dtype=np.float64)
    line = (_height_at(columns, shape.upper_edge) + _height_at(columns, shape.lower_edge)) / 2
    beyond = np.maximum(0.0, np.maximum(shape.upper_edge[0, 0] - columns, columns - shape.upper_edge[-1, 0]))
    softness = (_JOIN_PX + _JOIN_GROWTH * beyond).astype(np.float32)
    below: NDArray[np.float32] = (_DOWN - line.astype(np.float32)) / softness
    return below


def _height_at(columns: NDArray[np.floating], edge: NDArray[np.float64]) -> NDArray[np.float64]:
    """The y of a left-to-right lip edge at the given x."""
    heights: NDArray[np.float64] = np.interp(columns, edge[:, 0], edge[:, 1])
    return heights


def _into_region(
    canonical: NDArray[np.float32], to_canonical: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(canonical, to_canonical, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped.astype(np.float32, copy=False)
