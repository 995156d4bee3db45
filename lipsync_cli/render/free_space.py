"""Room for the labels of a line chart: places beside a point that no line, point or other label touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_CHARACTER_PX = 7.2  # of a digit or letter of the pages' 12 px font, bold
_ABOVE_PX, _BELOW_PX = 10, 1  # of a number, from its base line
_RIM_PX = 3  # half a line's width, and air
_DOT_PX = 2  # a line that passes closer to a point than this is at the point, for the eye

Way = Sequence[tuple[float, float]]  # x, y in px; x never falls


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in px, whose y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: "Box") -> bool:
        """Whether all of `other` is inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share some of their areas."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def is_crossed(self, start: tuple[float, float], end: tuple[float, float]) -> bool:
        """Whether the straight line from `start` to `end`, further to the right, touches it."""
        (x0, y0), (x1, y1) = start, end
        left, right = max(x0, self.left), min(x1, self.right)
        if left > right:
            return False
        slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        ends = (y0 + (left - x0) * slope, y0 + (right - x0) * slope)
        return min(ends) <= self.bottom and self.top <= max(ends)


def text_width_px(text: str) -> float:
    """The width of a text of the pages, as far as it can be known without the font."""
    return _CHARACTER_PX * len(text)


class FreeSpace:
    """The part of a chart's plot where nothing has been drawn."""

    def __init__(self, plot: Box) -> None:
        self._plot = plot
        self._lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self._labels: list[Box] = []

    def draw(self, way: Way) -> None:
        """Take the places of a line, or of a point alone."""
        self._lines += pairwise(way) if len(way) > 1 else [(point, point) for point in way]

    def take(self, x: float, y: float, text: str) -> tuple[float, float] | None:
        """The middle of the base line of a number for the point at `x`, `y`; None where no place beside it is free."""
        aside = text_width_px(text) / 2 + 8
        ways = ((0, -9), (0, -13), (0, 19), (0, 23), (-aside, -5), (aside, -5), (aside, 15), (-aside, 15))
        places = [(x + across, y + down) for across, down in ways]
        free = [each for each in places if self._plot.holds(_box_of(*each, text)) and self._is_free(each, text)]
        # A label beyond a line reads as a value of what lies there: such a place is the last choice.
        free.sort(key=lambda each: self._is_cut_off((x, y), each, text))
        if not free:
            return None
        self._labels.append(_box_of(*free[0], text))
        return free[0]

    def _is_free(self, place: tuple[float, float], text: str) -> bool:
        return not self._is_taken(_box_of(*place, text))

    def _is_cut_off(self, point: tuple[float, float], place: tuple[float, float], text: str) -> bool:
        """Whether a line passes between the point's dot and its label above or below."""
        (x, y), box = point, _box_of(*place, text)
        if not box.left < x < box.right:
            return False
        gap = (box.bottom, y - _DOT_PX) if box.bottom < y else (y + _DOT_PX, box.top)
        between = Box(x - 1, min(gap), x + 1, max(gap))
        return any(between.is_crossed(start, end) for start, end in self._lines)

    def _is_taken(self, box: Box) -> bool:
        wide = Box(box.left - _RIM_PX, box.top - _RIM_PX, box.right + _RIM_PX, box.bottom + _RIM_PX)
        return any(wide.overlaps(label) for label in self._labels) or any(
            wide.is_crossed(start, end) for start, end in self._lines
        )


def _box_of(x: float, y: float, text: str) -> Box:
    half = text_width_px(text) / 2
    return Box(x - half, y - _ABOVE_PX, x + half, y + _BELOW_PX)
