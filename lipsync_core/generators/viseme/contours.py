"""The four contours of the lips, and the ways in which they move."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, LOWER_OUTER_LIP, UPPER_INNER_LIP, UPPER_OUTER_LIP, rows
from lipsync_core.generators.viseme.canonical import EYE_DISTANCE_PX
from lipsync_core.generators.viseme.geometry import FramePose
from lipsync_core.generators.viseme.seam import Seam

MAX_GAP = 0.34  # opening of the inner lips at jaw 1, in mouth widths
UPPER_SHARE = 0.22  # of the opening that the upper lip makes; the lower lip and jaw make the rest
ROUNDING = 0.32  # narrowing of the mouth at width -1
SPREADING = 0.18  # widening at width +1
OWN_WIDTH_KEPT = -0.25  # of the source's own width motion: it shows in more than the corners, so these move against it
TUCK_GAP = 0.045  # height of the upper teeth that an F bares, in mouth widths
TUCK_ROLL = 0.035  # how much of the lower lip disappears under them
#: A relaxed mouth is about this wide, in outer eye distances; a wider one is smiling.
_RELAXED_WIDTH = 0.56
_SMILE_KEPT = 0.45  # share of a smile's extra width and raised corners that survives speech
_UNSEEN_UNTIL = 0.2  # in mouth widths beyond closed: further open, the mesh is right
_EAGERNESS = 1.3  # a little rounding already moves the corners much; a strong one little more
_NARROWING = 0.10  # of an opening mouth
_TO_CORNER = 0.5  # of the way from the mesh's inner corner of the mouth to its outer one
_SEAM_DEGREE = 4  # of the polynomial along the line between closed lips
_THINNED = 0.2  # and when the jaw is wide open
_FROM_MIDDLE = np.linspace(-1.0, 1.0, len(UPPER_INNER_LIP))  # (11,)

_UPPER_INNER, _LOWER_INNER = rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP)
_UPPER_OUTER, _LOWER_OUTER = rows(UPPER_OUTER_LIP), rows(LOWER_OUTER_LIP)


@dataclass(frozen=True, slots=True, eq=False)
class RestingLips:
    """The clip's own closed lips, canonical pixels."""

    gap: float  # the opening that the mesh sees in them, in mouth widths
    line: NDArray[np.float64]  # (11,) where they meet, from corner to corner: y below the line between the corners
    upper_px: NDArray[np.float64]  # (11,) height of the upper lip
    lower_px: NDArray[np.float64]  # (11,)


class LipRows:
    """The four lip contours of a frame, moved step by step; each (11, 2)."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self.upper_inner = _left_to_right(points[_UPPER_INNER])
        self.lower_inner = _left_to_right(points[_LOWER_INNER])
        self.upper_outer = _left_to_right(points[_UPPER_OUTER])
        self.lower_outer = _left_to_right(points[_LOWER_OUTER])
        # The mesh ends its inner contours inside the corners of the mouth, where the line between lips ends.
        for end in (0, -1):
            corner = (self.upper_outer[end] + self.lower_outer[end]) / 2
            for inner in (self.upper_inner, self.lower_inner):
                inner[end] += _TO_CORNER * (corner - inner[end])

    def all(self) -> tuple[NDArray[np.float64], ...]:
        """Upper outer, upper inner, lower inner and lower outer contour, each (11, 2) from left to right."""
        return self.upper_outer, self.upper_inner, self.lower_inner, self.lower_outer

    def close_by(self, gap_px: NDArray[np.float64]) -> None:
        """Take (11,) off the opening, half from either lip."""
        taken = np.minimum(gap_px, self.lower_inner[:, 1] - self.upper_inner[:, 1]).clip(0.0) / 2
        self.upper_inner[:, 1] += taken
        self.lower_inner[:, 1] -= taken

    def meet(self, seam: Seam) -> None:
        """Let closed lips meet where the picture shows their line."""
        gap_px = self.lower_inner[:, 1] - self.upper_inner[:, 1]
        self.close_by(seam.closedness * gap_px)
        middle = (self.upper_inner + self.lower_inner) / 2
        # A low bend: the mesh's contours are smooth, and the picture's line is not.
        bend = np.polynomial.Polynomial.fit(seam.line[:, 0], seam.line[:, 1], _SEAM_DEGREE)
        offset = seam.closedness * (bend(middle[:, 0]) - middle[:, 1])
        self.upper_inner[:, 1] += offset
        self.lower_inner[:, 1] += offset

    def correct(self, rest: RestingLips, seam: Seam | None, mouth_width_px: float) -> None:
        """Take off the opening that the mesh sees in closed lips; lips that the picture shows closed are closed."""
        self.close_by(self.unseen_px(rest, mouth_width_px))
        if seam is not None:
            self.meet(seam)

    def unseen_px(self, rest: RestingLips, mouth_width_px: float) -> NDArray[np.float64]:
        """(11,) the opening that the mesh sees in closed lips; it fades as the mouth opens."""
        seen_px = self.lower_inner[:, 1] - self.upper_inner[:, 1]
        beyond = float(seen_px.max()) / mouth_width_px - rest.gap
        share = float(np.clip(1.0 - beyond / _UNSEEN_UNTIL, 0.0, 1.0))
        return seen_px * min(1.0, rest.gap * share * mouth_width_px / max(float(seen_px.max()), 1e-6))

    def open_by(self, opening_px: NDArray[np.float64]) -> None:
        """Move the lips apart (or together), outer contours a little less than inner ones."""
        outer = np.where(opening_px < 0.0, 0.62, 0.97)
        self.upper_inner[:, 1] -= UPPER_SHARE * opening_px
        self.lower_inner[:, 1] += (1.0 - UPPER_SHARE) * opening_px
        self.upper_outer[1:-1, 1] -= (UPPER_SHARE * 0.8 * opening_px)[1:-1]
        self.lower_outer[1:-1, 1] += ((1.0 - UPPER_SHARE) * outer * opening_px)[1:-1]

    def relax(self, rest: RestingLips, share: float, gap: float, pressed: float) -> None:
        """Give lips that close the line and the heights of the clip's closed lips, by a `share` of 0..1."""
        gap_px = self.lower_inner[:, 1] - self.upper_inner[:, 1]
        line = self.upper_inner[:, 1] + UPPER_SHARE * gap_px
        left, right = line[0], line[-1]
        along = (span(self.upper_inner) + 1.0) / 2
        line = line + share * (left + (right - left) * along + rest.line - line)
        self.upper_inner[:, 1] = line - UPPER_SHARE * gap_px
        self.lower_inner[:, 1] = line + (1.0 - UPPER_SHARE) * gap_px
        thinned = pressed * (1.0 - _THINNED * min(1.0, gap / MAX_GAP))
        upper_px, lower_px = thinned * rest.upper_px, thinned * rest.lower_px
        own_upper_px = self.upper_inner[:, 1] - self.upper_outer[:, 1]
        own_lower_px = self.lower_outer[:, 1] - self.lower_inner[:, 1]
        self.upper_outer[1:-1, 1] = (self.upper_inner[:, 1] - own_upper_px - share * (upper_px - own_upper_px))[1:-1]
        self.lower_outer[1:-1, 1] = (self.lower_inner[:, 1] + own_lower_px + share * (lower_px - own_lower_px))[1:-1]

    def tuck(self, tuck_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Roll the lower lip in under the upper teeth (F, V); returns the (11,) opening that shows the teeth."""
        bared_px = TUCK_GAP * tuck_px
        self.upper_inner[:, 1] -= bared_px
        self.upper_outer[1:-1, 1] -= 0.7 * bared_px[1:-1]
        self.lower_outer[1:-1, 1] -= TUCK_ROLL * tuck_px[1:-1]
        return bared_px

    def widen(self, pose: FramePose, mouth_width_px: float, width: float, opening: float) -> None:
        """Narrow or widen the mouth, and take most of a smile out of it; `opening` is in units of `MAX_GAP`."""
        relaxed_px = _RELAXED_WIDTH * EYE_DISTANCE_PX
        smile_px = max(0.0, mouth_width_px - relaxed_px)
        rest_px = mouth_width_px - (1.0 - _SMILE_KEPT) * smile_px
        eased = np.tanh(_EAGERNESS * width) / np.tanh(_EAGERNESS)
        goal_px = rest_px * (1.0 + (ROUNDING if width < 0 else SPREADING) * eased - _NARROWING * opening)
        goal_px += OWN_WIDTH_KEPT * (pose.mouth_width_px - mouth_width_px)
        middle_x = float(self.upper_outer[[0, -1], 0].mean())
        lift_px = _corner_lift_px(pose.points, mouth_width_px) * (1.0 - _SMILE_KEPT)
        for row in self.all():
            row[:, 1] += lift_px * np.abs(_FROM_MIDDLE) ** 2
            row[:, 0] = middle_x + (row[:, 0] - middle_x) * goal_px / pose.mouth_width_px
        pout_px = max(0.0, -width) * mouth_width_px
        self.upper_outer[1:-1, 1] -= 0.015 * pout_px
        self.lower_outer[1:-1, 1] += 0.020 * pout_px


def _corner_lift_px(points: NDArray[np.float64], mouth_width_px: float) -> float:
    """The height by which a smile raises the corners of the mouth above its middle; 0 for a relaxed mouth."""
    corners = points[_UPPER_INNER[[0, -1]], 1].mean()
    middle = (points[_UPPER_INNER[5], 1] + points[_LOWER_INNER[5], 1]) / 2
    return max(0.0, float(middle - corners) - 0.06 * mouth_width_px)


def span(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """(11,) position along a lip from -1 at its left end to +1 at its right."""
    left, right = row[0, 0], row[-1, 0]
    along: NDArray[np.float64] = (row[:, 0] - left) / max(right - left, 1e-6) * 2.0 - 1.0
    return along


def _left_to_right(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """A lip row whose x never runs backwards: at a strong turn the far half of a mesh folds over itself."""
    ordered = row.copy()
    ordered[:, 0] = np.maximum.accumulate(row[:, 0])
    return ordered
