"""The wanted shape of the mouth: turns one row of mouth curves into moved control points.

All targets are relative to the frame's own mouth, so that the mouth movements of the source are
cancelled, not added. The constants were fitted by eye and against the lip opening of real speakers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import BELOW_LIP, CHEEKS, CHIN_LINE, CHIN_PAD, NOSE_BASE, rows
from lipsync_core.generators.viseme.contours import MAX_GAP, LipRows, RestingLips, span
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.geometry import FramePose
from lipsync_core.generators.viseme.seam import Seam

JAW_SHARE = 0.75  # how far the chin follows the lower lip
_CHIN_LINE_SHARE = 0.8  # the outline of the chin follows less than its front, by this factor

#: Closing by this much, in mouth widths, the clip's closed lips begin to replace the frame's own, and have done so.
_REPAINT_FROM, _REPAINT_FULL = 0.015, 0.06
_PRESS_SHAPE = 0.4  # lip edges are moved into the lips nearly as far beside the corners as in the middle
_PRESSED = 0.12  # of the lips' height disappears in P, B and M

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
#: How much the skin beside the mouth follows its corner sideways.
_ASIDE_WEIGHTS = {
    **dict.fromkeys((57, 287), 0.75),
    **dict.fromkeys((43, 273), 0.6),
    **dict.fromkeys((106, 335, 202, 422), 0.35),
    **dict.fromkeys((182, 406, 204, 424, 206, 426), 0.25),
    **dict.fromkeys((205, 425, 211, 431), 0.1),
}
_JAW_POINTS = (*CHIN_LINE, *CHIN_PAD, *BELOW_LIP)
_JAW_FOLLOW = np.array(
    [_JAW_WEIGHTS[point] * (_CHIN_LINE_SHARE if point in CHIN_LINE else 1.0) for point in _JAW_POINTS]
)
_JAW_ASIDE = np.array([_ASIDE_WEIGHTS.get(point, 0.0) for point in _JAW_POINTS])
_CHEEK_ASIDE = np.array([_ASIDE_WEIGHTS.get(point, 0.0) for point in CHEEKS])
_JAW, _NOSE_BASE, _CHEEKS = rows(_JAW_POINTS), rows(NOSE_BASE), rows(CHEEKS)


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
    contours: NDArray[np.float64]  # (4, 11, 2) upper outer and inner, lower inner and outer lip, left to right
    gap: float  # the greatest height of the opening, in mouth widths
    tongue: float  # 0..1, how far the tip of the tongue touches the teeth
    mouth_width_px: float  # the clip's typical mouth width
    repaint: float  # 0..1, how far the clip's closed lips replace the frame's own, which are stretched by opening

    @property
    def upper_edge(self) -> NDArray[np.float64]:
        """(11, 2) lower edge of the upper lip."""
        edge: NDArray[np.float64] = self.contours[1]
        return edge

    @property
    def lower_edge(self) -> NDArray[np.float64]:
        """(11, 2) upper edge of the lower lip."""
        edge: NDArray[np.float64] = self.contours[2]
        return edge


def mouth_shape(
    pose: FramePose,
    mouth_width_px: float,
    rest: RestingLips,
    edit: NDArray[np.float32],
    ring: NDArray[np.float64],
    seam: Seam | None = None,
) -> MouthShape:
    """The control points for one edit of one frame.

    Args:
        pose: the frame's face.
        mouth_width_px: the clip's typical mouth width, canonical pixels.
        rest: the clip's closed lips.
        edit: one row of mouth curves, columns of `Curve`.
        ring: (R, 2) points around the crop that never move.
        seam: the line between the frame's own lips, canonical pixels, where they may be closed.
    """
    source, moved = (LipRows(pose.points) for _ in range(2))
    for lips in (source, moved):
        lips.correct(rest, seam, mouth_width_px)
    arch = (1.0 - np.abs(span(source.upper_inner)) ** 2.2).clip(0.0) ** 0.75  # (11,)
    own_gap_px = np.maximum(source.lower_inner[:, 1] - source.upper_inner[:, 1], 0.0)  # (11,)
    gap = MAX_GAP * float(edit[Curve.JAW])
    gap_px = gap * mouth_width_px * arch
    opening_px = gap_px - own_gap_px
    own_gap = float(own_gap_px.max()) / mouth_width_px
    seen_gap = own_gap if seam is None else max(own_gap, seam.opening)
    repaint = _smooth_step((seen_gap - gap - _REPAINT_FROM) / (_REPAINT_FULL - _REPAINT_FROM))
    moved.open_by(opening_px)
    moved.relax(rest, repaint, gap, 1.0 - _PRESSED * float(edit[Curve.CLOSURE]))
    gap_px = gap_px + moved.tuck(float(edit[Curve.TUCK]) * mouth_width_px * arch)
    moved.widen(pose, mouth_width_px, float(edit[Curve.WIDTH]), (gap - own_gap) / MAX_GAP)
    press_px = _press(gap, own_gap) * mouth_width_px * arch**_PRESS_SHAPE
    jaw_px = JAW_SHARE * float(opening_px[len(arch) // 2])
    upper, lower = _pulls(pose.points, source, moved, ring, (press_px, jaw_px))
    shown = float(gap_px.max()) / mouth_width_px
    return MouthShape(upper, lower, np.stack(moved.all()), shown, float(edit[Curve.TONGUE]), mouth_width_px, repaint)


def _smooth_step(share: float) -> float:
    """0 below 0, 1 above 1, smooth in between."""
    inside = min(1.0, max(0.0, share))
    return inside * inside * (3.0 - 2.0 * inside)


def _press(gap: float, own_gap: float) -> float:
    """The distance by which the lip edges are moved into the lips, in mouth widths.

    It hides the dark between lips and slivers of the source's own teeth: a little in an open mouth, more while it
    closes.
    """
    closing = max(0.0, 1.0 - gap / 0.06) * min(1.0, own_gap / 0.05)
    bared = 0.022 * min(1.0, max(own_gap, gap) / 0.08)
    return max(bared, (0.03 + 0.03 * min(1.0, own_gap / 0.25)) * closing)


def _pulls(
    points: NDArray[np.float64],
    source: LipRows,
    moved: LipRows,
    ring: NDArray[np.float64],
    press_and_jaw_px: tuple[NDArray[np.float64], float],
) -> tuple[Pull, Pull]:
    press_px, jaw_px = press_and_jaw_px
    pressed_upper, pressed_lower = source.upper_inner.copy(), source.lower_inner.copy()
    pressed_upper[:, 1] -= press_px
    pressed_lower[:, 1] += press_px
    left_px, right_px = (moved.upper_outer[end, 0] - source.upper_outer[end, 0] for end in (0, -1))
    jaw_goals, cheek_goals = points[_JAW].copy(), points[_CHEEKS].copy()
    jaw_goals[:, 1] += jaw_px * _JAW_FOLLOW
    for goals, follow in ((jaw_goals, _JAW_ASIDE), (cheek_goals, _CHEEK_ASIDE)):
        middle_x = source.upper_outer[[0, -1], 0].mean()
        goals[:, 0] += follow * np.where(goals[:, 0] < middle_x, left_px, right_px)
    nose, nose_middle = points[_NOSE_BASE], points[_NOSE_BASE[:1]]
    upper = Pull(
        goals=np.concatenate([moved.upper_inner, moved.upper_outer, nose, cheek_goals, ring]),
        origins=np.concatenate([pressed_upper, source.upper_outer, nose, points[_CHEEKS], ring]),
    )
    lower = Pull(
        goals=np.concatenate([moved.lower_inner, moved.lower_outer, jaw_goals, nose_middle, cheek_goals, ring]),
        origins=np.concatenate([pressed_lower, source.lower_outer, points[_JAW], nose_middle, points[_CHEEKS], ring]),
    )
    return upper, lower
