"""The wanted shape of the mouth: turns one row of mouth curves into moved control points.

All targets are relative to the frame's own mouth, so that the mouth movements of the source are
cancelled, not added. The constants were fitted by eye and against the lip opening of real speakers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    BELOW_LIP,
    CHEEKS,
    CHIN_LINE,
    CHIN_PAD,
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    NOSE_BASE,
    UPPER_INNER_LIP,
    UPPER_OUTER_LIP,
    rows,
)
from lipsync_core.generators.viseme.canonical import EYE_DISTANCE_PX
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.geometry import FramePose

MAX_GAP = 0.34  # opening of the inner lips at jaw 1, in mouth widths
UPPER_SHARE = 0.22  # of the opening that the upper lip makes; the lower lip and jaw make the rest
ROUNDING = 0.20  # narrowing of the mouth at width -1
SPREADING = 0.07  # widening at width +1
OWN_WIDTH_KEPT = 0.30  # of the source's own width motion
TUCK_GAP = 0.045  # height of the upper teeth that an F bares, in mouth widths
TUCK_ROLL = 0.035  # how much of the lower lip disappears under them
JAW_SHARE = 0.75  # how far the chin follows the lower lip
_CHIN_LINE_SHARE = 0.8  # the outline of the chin follows less than its front, by this factor

#: A relaxed mouth is about this wide, in outer eye distances; a wider one is smiling.
_RELAXED_WIDTH = 0.56
_SMILE_KEPT = 0.45  # share of a smile's extra width and raised corners that survives speech

#: How much each point of chin and lower cheek follows the jaw, 0..1.
_JAW_WEIGHTS = {
    **dict.fromkeys((152, 199, 200, 201, 421, 18, 83, 313), 1.0),
    **dict.fromkeys((148, 377, 208, 428, 182, 406), 0.95),
    **dict.fromkeys((176, 400, 32, 262, 106, 335), 0.85),
    **dict.fromkeys((211, 431, 204, 424), 0.75),
    **dict.fromkeys((149, 378), 0.65),
    **dict.fromkeys((43, 273), 0.55),
    **dict.fromkeys((150, 379, 202, 422), 0.45),
    **dict.fromkeys((136, 365), 0.25),
    **dict.fromkeys((57, 287), 0.15),
    **dict.fromkeys((172, 397), 0.1),
}
_JAW_POINTS = (*CHIN_LINE, *CHIN_PAD, *BELOW_LIP)
_JAW_FOLLOW = np.array(
    [_JAW_WEIGHTS[point] * (_CHIN_LINE_SHARE if point in CHIN_LINE else 1.0) for point in _JAW_POINTS]
)
_UPPER_INNER, _LOWER_INNER = rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP)
_UPPER_OUTER, _LOWER_OUTER = rows(UPPER_OUTER_LIP), rows(LOWER_OUTER_LIP)
_JAW, _NOSE_BASE, _CHEEKS = rows(_JAW_POINTS), rows(NOSE_BASE), rows(CHEEKS)
_FROM_MIDDLE = np.linspace(-1.0, 1.0, len(UPPER_INNER_LIP))  # (11,)


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """Control points of one displacement field: the pixels shown at `goals` come from `origins`."""

    goals: NDArray[np.float64]  # (P, 2) canonical pixels
    origins: NDArray[np.float64]  # (P, 2) canonical pixels


@dataclass(frozen=True, slots=True, eq=False)
class MouthShape:
    """The mouth that an edit asks for, canonical pixels."""

    upper: Pull  # moves the upper lip and the skin above it
    lower: Pull  # moves the lower lip, the jaw and the skin below
    upper_edge: NDArray[np.float64]  # (11, 2) lower edge of the upper lip, left to right
    lower_edge: NDArray[np.float64]  # (11, 2) upper edge of the lower lip
    gap: float  # the greatest height of the opening, in mouth widths
    tongue: float  # 0..1, how far the tip of the tongue touches the teeth
    mouth_width_px: float  # the clip's typical mouth width
    cover: NDArray[np.float64]  # (11,) extra height that hides the source's own teeth while closing, pixels


class _LipRows:
    """The four lip contours of a frame, moved step by step; each (11, 2)."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self.upper_inner = _left_to_right(points[_UPPER_INNER])
        self.lower_inner = _left_to_right(points[_LOWER_INNER])
        self.upper_outer = _left_to_right(points[_UPPER_OUTER])
        self.lower_outer = _left_to_right(points[_LOWER_OUTER])

    def all(self) -> tuple[NDArray[np.float64], ...]:
        """Upper inner, lower inner, upper outer and lower outer contour, each (11, 2) from left to right."""
        return self.upper_inner, self.lower_inner, self.upper_outer, self.lower_outer


def mouth_shape(
    pose: FramePose, mouth_width_px: float, closed_gap: float, edit: NDArray[np.float32], ring: NDArray[np.float64]
) -> MouthShape:
    """The control points for one edit of one frame.

    Args:
        pose: the frame's face.
        mouth_width_px: the clip's typical mouth width, canonical pixels.
        closed_gap: opening of the clip's closed lips, in mouth widths.
        edit: one row of mouth curves, columns of `Curve`.
        ring: (R, 2) points around the crop that never move.
    """
    source, moved = _LipRows(pose.points), _LipRows(pose.points)
    own_gap_px = np.maximum(source.lower_inner[:, 1] - source.upper_inner[:, 1], 0.0)  # (11,)
    arch = (1.0 - np.abs(_span(source.upper_inner)) ** 2.2).clip(0.0) ** 0.75  # (11,)
    gap = closed_gap * (1.0 - 0.7 * float(edit[Curve.CLOSURE])) + MAX_GAP * float(edit[Curve.JAW])
    gap_px = gap * mouth_width_px * arch
    opening_px = gap_px - own_gap_px
    _open(moved, opening_px)
    gap_px = gap_px + _tuck(moved, float(edit[Curve.TUCK]) * mouth_width_px * arch)
    _round(moved, pose, mouth_width_px, float(edit[Curve.WIDTH]))
    own_gap = float(own_gap_px.max()) / mouth_width_px
    press_px = _press(gap, own_gap) * mouth_width_px * arch
    jaw_px = JAW_SHARE * float(opening_px[len(arch) // 2])
    upper, lower = _pulls(pose.points, source, moved, ring, (press_px, jaw_px))
    return MouthShape(
        upper=upper,
        lower=lower,
        upper_edge=moved.upper_inner,
        lower_edge=moved.lower_inner,
        gap=float(gap_px.max()) / mouth_width_px,
        tongue=float(edit[Curve.TONGUE]),
        mouth_width_px=mouth_width_px,
        cover=_cover(gap_px, own_gap, mouth_width_px, arch),
    )


def _open(lips: _LipRows, opening_px: NDArray[np.float64]) -> None:
    """Move the lips apart (or together), outer contours a little less than inner ones."""
    # A smile stretches the lips thin: when it closes, the outer contours move less, so the lips regain their height.
    outer = np.where(opening_px < 0.0, 0.62, 0.97)
    lips.upper_inner[:, 1] -= UPPER_SHARE * opening_px
    lips.lower_inner[:, 1] += (1.0 - UPPER_SHARE) * opening_px
    lips.upper_outer[1:-1, 1] -= (UPPER_SHARE * 0.8 * opening_px)[1:-1]
    lips.lower_outer[1:-1, 1] += ((1.0 - UPPER_SHARE) * outer * opening_px)[1:-1]


def _tuck(lips: _LipRows, tuck_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Roll the lower lip in under the upper teeth (F, V); returns the (11,) opening that shows the teeth."""
    bared_px = TUCK_GAP * tuck_px
    lips.upper_inner[:, 1] -= bared_px
    lips.upper_outer[1:-1, 1] -= 0.7 * bared_px[1:-1]
    lips.lower_outer[1:-1, 1] -= TUCK_ROLL * tuck_px[1:-1]
    return bared_px


def _round(lips: _LipRows, pose: FramePose, mouth_width_px: float, width: float) -> None:
    """Narrow or widen the mouth, and take most of a smile out of it."""
    relaxed_px = _RELAXED_WIDTH * EYE_DISTANCE_PX
    smile_px = max(0.0, mouth_width_px - relaxed_px)
    rest_px = mouth_width_px - (1.0 - _SMILE_KEPT) * smile_px
    goal_px = rest_px * (1.0 + (ROUNDING if width < 0 else SPREADING) * width)
    goal_px = (1.0 - OWN_WIDTH_KEPT) * goal_px + OWN_WIDTH_KEPT * pose.mouth_width_px * goal_px / mouth_width_px
    middle_x = float(lips.upper_outer[[0, -1], 0].mean())
    lift_px = _corner_lift_px(pose.points, mouth_width_px) * (1.0 - _SMILE_KEPT)
    for row in lips.all():
        row[:, 1] += lift_px * np.abs(_FROM_MIDDLE) ** 2
        row[:, 0] = middle_x + (row[:, 0] - middle_x) * goal_px / pose.mouth_width_px
    pout_px = max(0.0, -width) * mouth_width_px
    lips.upper_outer[1:-1, 1] -= 0.015 * pout_px
    lips.lower_outer[1:-1, 1] += 0.020 * pout_px


def _corner_lift_px(points: NDArray[np.float64], mouth_width_px: float) -> float:
    """The height by which a smile raises the corners of the mouth above its middle; 0 for a relaxed mouth."""
    corners = points[_UPPER_INNER[[0, -1]], 1].mean()
    middle = (points[_UPPER_INNER[5], 1] + points[_LOWER_INNER[5], 1]) / 2
    return max(0.0, float(middle - corners) - 0.06 * mouth_width_px)


def _press(gap: float, own_gap: float) -> float:
    """The distance by which the lip edges are moved into the lips, in mouth widths.

    It hides slivers of the source's own teeth: a little while the source's mouth is open, more while it closes.
    """
    closing = max(0.0, 1.0 - gap / 0.06) * float(np.clip(own_gap / 0.05, 0.25, 1.0))
    bared = 0.018 * min(1.0, own_gap / 0.08)
    return max(bared, (0.03 + 0.03 * min(1.0, own_gap / 0.25)) * closing)


def _cover(
    gap_px: NDArray[np.float64], own_gap: float, mouth_width_px: float, arch: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Half-height of the dark seam that stands for closed lips when the source's own mouth is open."""
    wanted_px = (0.022 + 0.008 * min(1.0, own_gap / 0.25)) * mouth_width_px * arch
    share = float(np.clip(own_gap / 0.07 - 0.2, 0.0, 1.0))
    cover_px: NDArray[np.float64] = np.maximum(0.0, (wanted_px - gap_px) / 2) * share
    return cover_px


def _pulls(
    points: NDArray[np.float64],
    source: _LipRows,
    moved: _LipRows,
    ring: NDArray[np.float64],
    press_and_jaw_px: tuple[NDArray[np.float64], float],
) -> tuple[Pull, Pull]:
    press_px, jaw_px = press_and_jaw_px
    pressed_upper, pressed_lower = source.upper_inner.copy(), source.lower_inner.copy()
    pressed_upper[:, 1] -= press_px
    pressed_lower[:, 1] += press_px
    jaw_goals = points[_JAW].copy()
    jaw_goals[:, 1] += jaw_px * _JAW_FOLLOW
    nose, cheeks, nose_middle = points[_NOSE_BASE], points[_CHEEKS], points[_NOSE_BASE[:1]]
    upper = Pull(
        goals=np.concatenate([moved.upper_inner, moved.upper_outer, nose, cheeks, ring]),
        origins=np.concatenate([pressed_upper, source.upper_outer, nose, cheeks, ring]),
    )
    lower = Pull(
        goals=np.concatenate([moved.lower_inner, moved.lower_outer, jaw_goals, nose_middle, cheeks, ring]),
        origins=np.concatenate([pressed_lower, source.lower_outer, points[_JAW], nose_middle, cheeks, ring]),
    )
    return upper, lower


def _span(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """(11,) position along a lip from -1 at its left end to +1 at its right."""
    left, right = row[0, 0], row[-1, 0]
    along: NDArray[np.float64] = (row[:, 0] - left) / max(right - left, 1e-6) * 2.0 - 1.0
    return along


def _left_to_right(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """A lip row whose x never runs backwards: at a strong turn the far half of a mesh folds over itself."""
    ordered = row.copy()
    ordered[:, 0] = np.maximum.accumulate(row[:, 0])
    return ordered
