"""Finds the line between two lips in a picture.

The mesh sees closed lips up to a tenth of the mouth's width apart, so its inner contours say neither whether a mouth is
closed nor where its lips meet. The picture does: closed lips meet in a dark line, and open ones show teeth or dark.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, LOWER_OUTER_LIP, UPPER_INNER_LIP, UPPER_OUTER_LIP, rows

COLUMNS = 41
_DEPTHS = 61
_UPPER_INNER, _LOWER_INNER = rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP)
_UPPER_OUTER, _LOWER_OUTER = rows(UPPER_OUTER_LIP), rows(LOWER_OUTER_LIP)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709
_MAX_STEP = 3  # depths that the line may rise or fall from one column to the next
_STEP_COST = 0.03
_MIDDLE = slice(10, 31)  # the columns in which teeth and dark are looked for
_LIP_DEPTHS = 8  # at either end of a column: certainly lip
_DARK, _WHITE, _WHITE_HUE, _PALE_HUE = 0.62, 0.8, 0.58, 0.78  # of the lips' brightness and redness

#: Certainly open lips, and how much less of it certainly closed lips show, in mouth widths.
_MOST_DARK, _DARK_SLACK = 0.10, 0.04
_MOST_TEETH, _TEETH_SLACK = 0.010, 0.008
_MOST_PALE, _PALE_SLACK = 0.06, 0.03
_UNLIKE_OPENING = 0.08  # mouth widths: as open as this are lips that do not look closed


@dataclass(frozen=True, slots=True, eq=False)
class Seam:
    """The darkest line from corner to corner between the lips, and what else lies between them."""

    line: NDArray[np.float64]  # (COLUMNS, 2) x y, pixels of the picture, left to right
    dark: float  # mean height of what is much darker than lips, in mouth widths
    teeth: float  # and of what is bright and not red
    pale: float = 0.0  # and of what is bright and less red than lips: teeth in warm light, or shine
    aside: float = 0.0  # distance of the line's middle from where the mesh sees it, in mouth widths
    trust: float = 1.0  # 0..1, how far the mesh lets the lips be closed
    likeness: float = 1.0  # 0..1, how much they look like the clip's closed lips

    @property
    def is_closed(self) -> bool:
        """No teeth are seen, and no more dark than a line."""
        return self.closedness > 0.5

    @property
    def closedness(self) -> float:
        """1 for closed lips, 0 for open ones, in between where it is not certain."""
        without_dark = float(np.clip((_MOST_DARK - self.dark) / _DARK_SLACK, 0.0, 1.0))
        without_teeth = float(np.clip((_MOST_TEETH - self.teeth) / _TEETH_SLACK, 0.0, 1.0))
        without_pale = float(np.clip((_MOST_PALE - self.pale) / _PALE_SLACK, 0.0, 1.0))
        return self.trust * self.likeness * without_dark * without_teeth * without_pale

    @property
    def opening(self) -> float:
        """The height of the opening that the picture shows, in mouth widths; 0 for closed lips.

        In a grimace teeth show where the mesh sees closed lips. What does not look like the clip's closed lips counts
        as open, for a closed mouth that is painted over stays closed.
        """
        unlike = _UNLIKE_OPENING * (1.0 - self.likeness)
        if self.trust < 1.0:
            return unlike
        dark = max(0.0, self.dark - _MOST_DARK + _DARK_SLACK)
        return max(unlike, (1.0 - self.closedness) * (dark + max(self.teeth, self.pale)))

    @property
    def openness(self) -> float:
        """How little this looks like closed lips, in mouth widths, to compare frames by."""
        return 0.5 * self.dark + 4.0 * self.teeth + self.pale + 0.8 * abs(self.aside)


def find_seam(pixels: NDArray[np.uint8], points: NDArray[np.float64]) -> Seam:
    """Look between the lips of a picture.

    Args:
        pixels: (h, w, 3) RGB of an upright face.
        points: (K, 2) mesh points in its pixels.
    """
    upper, lower = points[_UPPER_INNER], points[_LOWER_INNER]
    columns = np.linspace(upper[0, 0], max(upper[-1, 0], upper[0, 0] + 1.0), COLUMNS)
    upper_y, lower_y = _along(upper, columns), _along(lower, columns)
    top = upper_y - 0.5 * (upper_y - _along(points[_UPPER_OUTER], columns)).clip(0.0)
    bottom = lower_y + 0.5 * (_along(points[_LOWER_OUTER], columns) - lower_y).clip(0.0)
    depths = top + (bottom - top) * np.linspace(0.0, 1.0, _DEPTHS)[:, None]  # (D, C)
    across = np.broadcast_to(columns, depths.shape).astype(np.float32)
    sampled = cv2.remap(pixels.astype(np.float32), across.copy(), depths.astype(np.float32), cv2.INTER_LINEAR)
    colours: NDArray[np.float32] = sampled.astype(np.float32, copy=False)  # (D, C, 3)
    path = _darkest_path(cv2.GaussianBlur(colours @ _LUMA, (3, 3), 0.7).astype(np.float32, copy=False))
    line = np.column_stack([columns, depths[path, np.arange(COLUMNS)]])
    steps = (bottom - top)[_MIDDLE] / (_DEPTHS - 1) / max(float(columns[-1] - columns[0]), 1.0)
    dark, teeth, pale = (float((found * steps).sum(0).mean()) for found in _between(colours[:, _MIDDLE]))
    middle = COLUMNS // 2
    aside = (line[middle, 1] - (upper_y[middle] + lower_y[middle]) / 2) / max(float(columns[-1] - columns[0]), 1.0)
    return Seam(line, dark, teeth, pale, float(aside))


def _along(row: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The y of a lip row, left to right, at given columns."""
    heights: NDArray[np.float64] = np.interp(columns, np.maximum.accumulate(row[:, 0]), row[:, 1])
    return heights


def _darkest_path(luma: NDArray[np.float32]) -> NDArray[np.intp]:
    """(C,) the depth of the darkest smooth line through (D, C) luma, by dynamic programming."""
    lip = np.minimum(luma[:_LIP_DEPTHS].mean(0), luma[-_LIP_DEPTHS:].mean(0))
    cost = luma / np.maximum(lip, 1.0)
    shifts = np.arange(-_MAX_STEP, _MAX_STEP + 1)
    came_from = np.zeros(cost.shape, np.intp)
    depths = np.arange(len(cost))
    previous = np.clip(depths[:, None] + shifts, 0, len(cost) - 1)  # (D, S)
    total = cost[:, 0].astype(np.float64)
    for column in range(1, cost.shape[1]):
        reached = total[previous] + _STEP_COST * np.abs(shifts)
        best = reached.argmin(1)
        came_from[:, column] = previous[depths, best]
        total = reached[depths, best] + cost[:, column]
    path = [int(total.argmin())]
    for column in range(cost.shape[1] - 1, 0, -1):
        path.append(int(came_from[path[-1], column]))
    return np.array(path[::-1], np.intp)


def _between(colours: NDArray[np.float32]) -> tuple[NDArray[np.bool_], ...]:
    """Whether each of (D, C, 3) colours is much darker than lips, a tooth's, and paler than lips."""
    upper, lower = (part.reshape(-1, 3).mean(0) for part in (colours[:_LIP_DEPTHS], colours[-_LIP_DEPTHS:]))
    lip_luma = min(float(upper @ _LUMA), float(lower @ _LUMA))
    lip_redness = min(float(_redness(upper)), float(_redness(lower)))
    luma, redness = colours @ _LUMA, _redness(colours)
    is_bright = luma > _WHITE * lip_luma
    return (
        luma < _DARK * lip_luma,
        is_bright & (redness < _WHITE_HUE * lip_redness),
        is_bright & (redness < _PALE_HUE * lip_redness),
    )


def _redness(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Red above green and blue, as a share of the brightness."""
    redness: NDArray[np.float32] = (colours[..., 0] - colours[..., 1:].mean(-1)) / np.maximum(colours.mean(-1), 1.0)
    return redness
