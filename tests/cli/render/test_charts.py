"""The charts draw their values at their places, and name what they draw."""

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest

from lipsync_cli.render.charts import WIDTH_PX, Axis, Bar, Mark, Series, line_chart, nice_top, stacked_bars


def texts(chart: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(chart).iter() if each.tag.endswith("text")]


def circles(chart: str) -> list[tuple[float, float]]:
    found = [each for each in ElementTree.fromstring(chart).iter() if each.tag.endswith("circle")]
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in found]


def widths(chart: str) -> list[float]:
    found = [each for each in ElementTree.fromstring(chart).iter() if each.tag.endswith("rect")]
    return [float(each.attrib["width"]) for each in found]


@pytest.mark.parametrize(("value", "top"), [(0.26, 0.4), (1.0, 1.0), (3.1, 4.0), (17.4, 20.0), (840, 1000)])
def test_a_scale_ends_at_the_next_round_number(value: float, top: float) -> None:
    assert nice_top(value) == pytest.approx(top)


def test_a_line_rises_with_its_values_and_is_named() -> None:
    line = Series("this <service>", ((1, 0.0), (2, 1.0), (8, 2.0)))
    chart = line_chart("by workers", Axis("workers"), Axis("time", "s"), [line], [Mark("limit", 1.0)])
    (x1, y1), (x2, y2), (x8, y8) = circles(chart)
    assert x2 - x1 == pytest.approx(x8 - x2)  # categories, not a scale
    assert y1 - y2 == pytest.approx(y2 - y8) and y1 > y2
    assert {"this <service>", "workers", "time, s", "limit: 1.00", "1", "2", "8"} <= set(texts(chart))
    mark = re.search(r'class="mark" d="M\d+ ([\d.]+)H', chart)
    assert mark is not None and float(mark[1]) == pytest.approx(y2, abs=0.1)


def test_a_linear_scale_keeps_distances() -> None:
    line = Series("x", ((0, 1.0), (2, 1.0), (8, 1.0)))
    chart = line_chart("x", Axis("h"), Axis("y"), [line], is_categorical=False)
    (first, _), (second, _), (last, _) = circles(chart)
    assert (last - first) / (second - first) == pytest.approx(4, abs=0.01)


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    lines = [Series(f"line {index}", ((1, 5.0), (2, 5.0 + index / 100))) for index in range(4)]
    chart = line_chart("x", Axis("x"), Axis("y"), lines)
    found = re.findall(r'class="ink-c0" x="[\d.]+" y="([\d.]+)"', chart)
    places = sorted(float(each) for each in found)
    assert len(places) == 4
    assert min(b - a for a, b in pairwise(places)) >= 15.9


def test_no_value_lies_on_a_line_a_mark_or_another_value() -> None:
    lines = [
        Series("a", ((1, 0.262), (2, 0.29), (4, 0.306))),
        Series("b", ((1, 0.200), (2, 0.262), (4, 0.261), (8, 0.255), (16, 0.1))),
    ]
    marks = [Mark("limit", 0.221), Mark("old", 0.08)]
    chart = line_chart("x", Axis("x"), Axis("y"), lines, marks)
    labels = [(float(x), float(y)) for x, y in re.findall(r'class="point" x="([\d.]+)" y="([\d.]+)"', chart)]
    boxes = [(x - 17, y - 9, x + 17, y) for x, y in labels]  # five digits, from their tops to their base line
    assert len(boxes) >= 6
    for a, b in combinations(boxes, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    ways = [re.findall(r"([\d.]+) ([\d.]+)", way) for way in re.findall(r'class="line c0" d="M([^"]+)"', chart)]
    levels = [float(y) for y in re.findall(r'class="mark" d="M\d+ ([\d.]+)H', chart)]
    drawn = [(float(x), float(y)) for way in ways for x, y in way] + [(x, y) for y in levels for x in range(64, 711)]
    for start, end in (pair for way in ways for pair in pairwise(way)):
        (x0, y0), (x1, y1) = (tuple(map(float, point)) for point in (start, end))
        drawn += [(x0 + (x1 - x0) * part / 500, y0 + (y1 - y0) * part / 500) for part in range(501)]
    for left, top, right, bottom in boxes:
        assert not [(x, y) for x, y in drawn if left < x < right and top < y < bottom]


def test_a_value_stands_on_its_points_side_of_a_mark() -> None:
    line = Series("a", ((1, 0.236), (2, 0.296), (4, 0.292)))
    chart = line_chart("x", Axis("x"), Axis("y"), [line], [Mark("loop", 0.244)])
    marks = re.findall(r'class="mark" d="M\d+ ([\d.]+)H', chart)
    labels = re.findall(r'class="point" x="[\d.]+" y="([\d.]+)">0.236', chart)
    assert len(marks) == len(labels) == 1
    assert circles(chart)[0][1] > float(marks[0])  # the point lies below the mark
    assert float(labels[0]) - 10 > float(marks[0])  # and so does its label, from its top


def test_a_value_between_two_lines_is_kept_where_no_side_is_its_own() -> None:
    lines = [Series("a", ((1, 0.5), (2, 0.5)), is_labelled=False), Series("b", ((1, 0.482), (2, 0.482)))]
    lines.append(Series("c", ((1, 0.464), (2, 0.464)), is_labelled=False))
    chart = line_chart("x", Axis("x"), Axis("y"), lines)
    assert texts(chart).count("0.482") == 2


def test_the_grid_of_bars_begins_below_the_names_of_the_marks() -> None:
    chart = stacked_bars("load", Axis("load", "%"), [Bar("cores", (("cores", 100.0, "c0"),))], [Mark("full", 100.0)])
    name_y = float(re.findall(r'y="([\d.]+)">full: 100', chart)[0])
    assert all(float(y) > name_y for y in re.findall(r'class="grid" d="M[\d.]+ ([\d.]+)V', chart))


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("one", (("a", 1.0, "c0"), ("b", 3.0, "c1")), "4 s"), Bar("two", (("a", 2.0, "c0"),))]
    chart = stacked_bars("seconds", Axis("seconds"), bars, [Mark("old", 4.0)])
    a, b, other = widths(chart)
    assert (b / a, other / a) == (pytest.approx(3, rel=0.01), pytest.approx(2, rel=0.01))
    assert {"one", "two", "4 s", "seconds", "old: 4.00"} <= set(texts(chart))
    assert 'viewBox="0 0 900' in chart and WIDTH_PX == 900


def test_a_chart_without_values_is_no_chart() -> None:
    assert line_chart("x", Axis("x"), Axis("y"), [Series("empty", ())]) == ""
    assert stacked_bars("x", Axis("x"), []) == ""
