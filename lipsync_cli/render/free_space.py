"""Room for the labels of a line chart: places beside a point that no line, point or other label touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_CHARACTER_PX = 7.2  # of a digit or letter of the pages' 12 px font, bold
_ABOVE_PX, _BELOW_PX = 10, 1  # of a number, from its base line
_RIM_PX = 3  # half a line's width, and air

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
        for across, down in ((0, -9), (0, -13), (0, 19), (0, 23), (-aside, -5), (aside, -5), (aside, 15), (-aside, 15)):
            box = _box_of(x + across, y + down, text)
            if self._plot.holds(box) and not self._is_taken(box):
                self._labels.append(box)
                return x + across, y + down
        return None

    def _is_taken(self, box: Box) -> bool:
        wide = Box(box.left - _RIM_PX, box.top - _RIM_PX, box.right + _RIM_PX, box.bottom + _RIM_PX)
        return any(wide.overlaps(label) for label in self._labels) or any(
            wide.is_crossed(start, end) for start, end in self._lines
        )


def _box_of(x: float, y: float, text: str) -> Box:
    half = text_width_px(text) / 2
    return Box(x - half, y - _ABOVE_PX, x + half, y + _BELOW_PX)
