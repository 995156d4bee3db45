"""Charts as SVG, which any browser draws without a script: lines, stacked bars, and the pieces that they are made of.

A style is a class of the page's stylesheet (`lipsync_cli/render/page.py`): `c0` to `c7`, or `rest`, which is grey.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from lipsync_cli.render.free_space import Box, FreeSpace, Way, text_width_px

WIDTH_PX = 900
_STEPS = (1, 2, 4, 6, 8, 10)  # their quarters are round as well
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 64, 190, 34, 48  # around the plot of a line chart
_PLOT_PX = 250
_MOST_POINTS = 40  # that are drawn by themselves
_NAME_PX = 16  # the least distance of two names at the ends of lines
_ROW_PX, _BAR_PX, _ROW_NAME_PX, _NOTE_PX = 34, 22, 200, 150
_INSET_PX = 5  # from the edge of a bar's part to its label


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis measures."""

    title: str
    unit: str = ""

    @property
    def text(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart, named at its right end."""

    name: str
    points: tuple[tuple[float, float], ...]  # x, y
    style: str = "c0"
    is_labelled: bool = True  # the values stand beside the points


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line across a chart at one value: a limit, or the figure of another system."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of stacked bars."""

    name: str
    parts: tuple[tuple[str, float, str], ...]  # name, value, style
    note: str = ""  # at the bar's end

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return sum(value for _, value, _ in self.parts)


def nice_top(value: float) -> float:
    """The next round number: 1, 2, 4, 6 or 8 times a power of ten."""
    power = 1e-3
    while power * 10 < value:
        power *= 10
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)


def svg(height_px: float, label: str, parts: Sequence[str]) -> str:
    """The picture, as wide as the page, with `label` for those who cannot see it."""
    box = f'viewBox="0 0 {WIDTH_PX} {height_px:g}" role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{"".join(parts)}</svg>'


def legend(items: Iterable[tuple[str, str]]) -> str:
    """The legend: each name beside the colour of its style."""
    entries = (f'<li><i class="{style}"></i>{escape(name)}</li>' for name, style in items)
    return f'<ul class="legend">{"".join(entries)}</ul>'


def text_at(x: float, y: float, text: str, style: str) -> str:
    """A text of the stylesheet's class `style`: `axis`, `point` and `on` are centred, `name` ends at `x`."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def vertical_grid(top: float, span: tuple[float, float], bottom: float, unit: str = "", first: float = 0) -> list[str]:
    """Five lines from 0 to `top` with their values below; `span` is the left edge and the width of the plot in px.

    They begin at `first` px from above.
    """
    left, width = span
    parts = []
    for quarter in range(5):
        x = left + width * quarter / 4
        parts.append(f'<path class="grid" d="M{x:.1f} {first:g}V{bottom:g}"/>')
        parts.append(text_at(x, bottom + 18, f"{top * quarter / 4:g} {unit}".strip(), "axis"))
    return parts


def horizontal_grid(top: float, span: tuple[float, float], height_px: float, unit: str = "", y: float = 0) -> list[str]:
    """Five lines from 0 to `top` with their values on the left; `span` is the left and the right edge in px."""
    left, right = span
    parts = []
    for quarter in range(5):
        at = y + height_px * (1 - quarter / 4)
        parts.append(f'<path class="grid" d="M{left:g} {at:.1f}H{right:g}"/>')
        parts.append(text_at(left - 8, max(at + 4, 12), f"{top * quarter / 4:g} {unit}".strip(), "name"))
    return parts


def line_chart(
    label: str, x: Axis, y: Axis, series: Sequence[Series], marks: Sequence[Mark] = (), is_categorical: bool = True
) -> str:
    """Lines over `x`, each named at its end; "" where there is no point.

    Args:
        label: the chart in words.
        x: below the chart.
        y: above the chart's left edge; the scale begins at 0.
        series: the lines.
        marks: horizontal dashed lines.
        is_categorical: the values of x stand at equal distances, as 1, 2, 4, 8 do; else their scale is linear.
    """
    values = sorted({point[0] for line in series for point in line.points})
    if not values:
        return ""
    highest = max([point[1] for line in series for point in line.points] + [mark.value for mark in marks])
    top = nice_top(highest * 1.05)
    right, floor = WIDTH_PX - _RIGHT_PX, _TOP_PX + _PLOT_PX
    at_x = _x_scale(values, is_categorical)

    def at_y(value: float) -> float:
        return floor - value / top * _PLOT_PX

    parts = horizontal_grid(top, (_LEFT_PX, right), _PLOT_PX, y=_TOP_PX)
    parts += [text_at(4, 14, y.text, "title"), text_at((_LEFT_PX + right) / 2, floor + 40, x.text, "axis")]
    ticks = values if is_categorical or len(values) <= 8 else [values[-1] * quarter / 4 for quarter in range(5)]
    parts += [text_at(at_x(value), floor + 20, f"{value:g}", "axis") for value in ticks]
    ends: list[tuple[float, str, str]] = []
    for mark in marks:
        parts.append(f'<path class="mark" d="M{_LEFT_PX} {at_y(mark.value):.1f}H{right}"/>')
        ends.append((at_y(mark.value), f"{mark.name}: {shown(mark.value)}", "rest"))
    ways: list[Way] = [[(at_x(point[0]), at_y(point[1])) for point in line.points] for line in series]
    for line, way in zip(series, ways, strict=True):
        parts += _line(line, way)
        if way:
            ends.append((way[-1][1], line.name, line.style))
    levels = [((_LEFT_PX, at_y(mark.value)), (right, at_y(mark.value))) for mark in marks]
    parts += _all_values(series, ways, levels)  # after all lines: a label's rim would cut them
    return svg(floor + _BOTTOM_PX, label, [*parts, *_names(ends, right + 12)])


def stacked_bars(label: str, x: Axis, bars: Sequence[Bar], marks: Sequence[Mark] = ()) -> str:
    """One row for each bar, its parts side by side; marks are vertical dashed lines. "" where there is no bar."""
    if not bars:
        return ""
    top = nice_top(max([bar.total for bar in bars] + [mark.value for mark in marks]) or 1.0)
    plot_px, bottom = WIDTH_PX - _ROW_NAME_PX - _NOTE_PX, _ROW_PX * len(bars) + (18 if marks else 0)
    scale, first = plot_px / top, bottom - _ROW_PX * len(bars)
    parts = vertical_grid(top, (_ROW_NAME_PX, plot_px), bottom, first=first)
    for index, bar in enumerate(bars):
        parts += _bar(bar, first + _ROW_PX * index, scale)
    for mark in marks:
        at = _ROW_NAME_PX + mark.value * scale
        parts.append(f'<path class="mark" d="M{at:.1f} 14V{bottom}"/>')
        parts.append(text_at(at, 11, f"{mark.name}: {shown(mark.value)}", "axis"))
    parts.append(text_at(_ROW_NAME_PX + plot_px / 2, bottom + 38, x.text, "axis"))
    return svg(bottom + 46, label, parts)


def _x_scale(values: Sequence[float], is_categorical: bool) -> Callable[[float], float]:
    """The x in px of a value."""
    width = WIDTH_PX - _RIGHT_PX - _LEFT_PX
    if is_categorical:
        places = {value: _LEFT_PX + width * (index + 0.5) / len(values) for index, value in enumerate(values)}
        return lambda value: places[value]
    span = max(values) or 1.0
    return lambda value: _LEFT_PX + width * value / span


def _line(line: Series, way: Way) -> list[str]:
    """The line and its points, which lie at `way` in px."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in way)
    parts = [f'<path class="line {line.style}" d="M{path}"/>'] if len(way) > 1 else []
    if len(way) > _MOST_POINTS:
        return parts
    for (across, down), (x, y) in zip(way, line.points, strict=True):
        title = f"<title>{escape(line.name)}: {shown(y)} at {x:g}</title>"
        parts.append(f'<circle class="{line.style}" cx="{across:.1f}" cy="{down:.1f}" r="4">{title}</circle>')
    return parts


def _all_values(series: Sequence[Series], ways: Sequence[Way], levels: Sequence[Way]) -> list[str]:
    """The values of all lines, which lie at `ways`; `levels` are the marks."""
    free = FreeSpace(Box(_LEFT_PX, _TOP_PX - 12, WIDTH_PX - _RIGHT_PX, _TOP_PX + _PLOT_PX - 2))
    for way in (*ways, *levels):
        free.draw(way)
    labelled = [(line, way) for line, way in zip(series, ways, strict=True) if line.is_labelled]
    return [part for line, way in labelled for part in _values(line, way, free)]


def _values(line: Series, way: Way, free: FreeSpace) -> list[str]:
    """The values beside the line's points, where there is room for them; else left out."""
    parts: list[str] = []
    for (x, y), (_, value) in zip(way, line.points, strict=True):
        place = free.take(x, y, shown(value))
        if place is not None:
            parts.append(text_at(*place, shown(value), "point"))
    return parts


def _names(ends: Sequence[tuple[float, str, str]], x: float) -> list[str]:
    """The names at the right ends of the lines, moved apart where they would overlap; entries are y, name, style."""
    parts: list[str] = []
    lowest = -_NAME_PX * 1.0
    for y, name, style in sorted(ends):
        at = max(y + 4, lowest + _NAME_PX)
        parts.append(text_at(x, at, name, f"ink-{style}"))
        lowest = at
    return parts


def _bar(bar: Bar, y: float, scale: float) -> list[str]:
    middle, x = y + _ROW_PX / 2, float(_ROW_NAME_PX)
    parts = [text_at(_ROW_NAME_PX - 10, middle + 4, bar.name, "name")]
    for name, value, style in bar.parts:
        width = value * scale
        box = f'x="{x:.1f}" y="{middle - _BAR_PX / 2:.1f}" width="{width:.1f}" height="{_BAR_PX}"'
        parts.append(f'<rect class="{style}" {box}><title>{escape(name)}: {shown(value)}</title></rect>')
        label = f"{name} {shown(value)}"
        if width > text_width_px(label) + 2 * _INSET_PX:
            parts.append(text_at(x + width / 2, middle + 4, label, "on"))
        elif width > text_width_px(shown(value)) + 2 * _INSET_PX:
            parts.append(text_at(x + width / 2, middle + 4, shown(value), "on"))
        x += width
    parts.append(text_at(x + 8, middle + 4, bar.note, "value"))
    return parts


def shown(value: float) -> str:
    """The value with about three digits, and without an exponent."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"
