"""The scalability report as one HTML page with its charts inside; it has no script and loads no other file."""

from html import escape

from lipsync_cli.bench import old_system
from lipsync_cli.bench.figures import Figures, Load
from lipsync_cli.bench.findings import best_level, bytes_per_running_request, findings, pace, ratios
from lipsync_cli.render.charts import Axis, Bar, Mark, Series, legend, line_chart, stacked_bars
from lipsync_cli.render.page import html_page, section, table, tiles, wide
from lipsync_cli.render.scalability_tables import tables
from lipsync_cli.render.scalability_text import lead

_AT_ONCE = Axis("requests at once")
_MB = 1e6
_COLOURS = 8
_CONTROL = (
    ("job", "runs", "c0"),
    ("Prefect's server", "server", "c1"),
    ("PostgreSQL", "database", "c3"),
    ("workers and launcher", "workers", "c2"),
    ("watcher", "watcher", "c5"),
    ("caller", "caller", "c4"),
    ("S3", "storage", "c6"),
)
_STAGES = (
    "Mean seconds by stage, added up. Encode and blend run side by side, so a bar can be longer than its request; a "
    "request that waits for a slot takes longer than its bar."
)


def render_html(figures: Figures) -> str:
    """The page as text; it has a light and a dark style."""
    charts = (
        ("Throughput", _throughput(figures), ""),
        ("Time of a request", _times(figures), "From its submission until its caller knows of its end."),
        ("CPU of a request", _cpu(figures), "All parts of the service; the dashed line is lipsync run."),
        ("Memory", _memory(figures), "The peak of all parts and all runs together (PSS)."),
        ("Where the time of a request goes", _stages(figures), _STAGES),
        ("Workers", _workers(figures), ""),
    )
    sections = [_headline(figures), section("Findings", _list(findings(figures)))]
    sections += [section(title, wide(chart) if chart else "", note) for title, chart, note in charts]
    sections += [section(each.title, table(each.headings, each.rows), each.note) for each in tables(figures)]
    sections.append(section("Not measured", _list(figures.notes)))
    return html_page("Scalability", lead(figures), sections)


def _list(sentences: tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def _headline(figures: Figures) -> str:
    best, each_bytes = best_level(figures.levels), bytes_per_running_request(figures.levels)
    judged = [ratio for ratio in ratios(figures) if ratio.is_judged]
    unjudged = len(ratios(figures)) - len(judged)
    shown = [
        (f"{best.per_s:.3f}/s", f"best throughput, at {best.at_once} at once; old system {old_system.PER_S:.2f}/s"),
        (f"{max(pace(figures, each) for each in figures.levels):.2f} ×", "that of lipsync run in a loop"),
        (
            f"{each_bytes / _MB:.0f} MB" if each_bytes is not None else "–",
            "for one more running request; old system 840 MB",
        ),
        (
            f"{sum(ratio.is_met for ratio in judged)} of {len(judged)}",
            f"limits kept; {unjudged} not judged" if unjudged else "limits kept",
        ),
    ]
    return tiles(shown)


def _throughput(figures: Figures) -> str:
    lines = [Series("this service", tuple((level.at_once, level.per_s) for level in figures.levels), "c0")]
    if len(figures.cached) > 1:
        lines.append(Series("one video again", tuple((each.at_once, each.per_s) for each in figures.cached), "c2"))
    marks = (Mark("lipsync run in a loop", figures.run_per_s), Mark("old system", old_system.PER_S))
    return line_chart("Requests in a second by requests at once", _AT_ONCE, Axis("requests in a second"), lines, marks)


def _times(figures: Figures) -> str:
    levels = [level for level in figures.levels if level.request_s]
    lines = (
        Series("median", tuple((level.at_once, level.median_s) for level in levels), "c0"),
        Series("95th percentile", tuple((level.at_once, level.p95_s) for level in levels), "c1"),
    )
    marks = (Mark("lipsync run", figures.run_s), Mark("old system, alone", old_system.REQUEST_S))
    return line_chart(
        "Seconds of a request by requests at once", _AT_ONCE, Axis("time of a request", "s"), lines, marks
    )


def _cpu(figures: Figures) -> str:
    bars = []
    for level in figures.levels:
        if level.machine is not None:
            parts = level.machine.parts
            pieces = tuple((name, getattr(parts, part) / level.requests, style) for name, part, style in _CONTROL)
            rest = ("other programs, kernel", level.machine.other_cpu_s / level.requests, "rest")
            total = level.machine.cpu_s / level.requests
            bars.append(Bar(f"{level.at_once} at once", (*pieces, rest), f"{total:.1f} CPU s"))
    chart = stacked_bars(
        "CPU seconds of one request by part",
        Axis("CPU seconds of one request"),
        bars,
        (Mark("lipsync run", figures.run_cpu_s),),
    )
    return (
        chart + legend([*((name, style) for name, _, style in _CONTROL), ("other programs, kernel", "rest")])
        if chart
        else ""
    )


def _memory(figures: Figures) -> str:
    points = tuple(
        (level.at_once, _peak_mb(level)) for level in figures.levels if level.machine and level.machine.memory
    )
    if not points:
        return ""
    old = tuple((x, x * old_system.MEMORY_BYTES / _MB) for x, _ in points if x <= 4)
    lines = (Series("this service", points, "c0"), Series("old: 840 MB a request", old, "rest"))
    return line_chart("Peak memory by requests at once", _AT_ONCE, Axis("memory", "MB"), lines)


def _peak_mb(level: Load) -> float:
    return max(peak.stack_bytes for peak in level.machine.memory) / _MB if level.machine else 0.0


def _stages(figures: Figures) -> str:
    known = [level for level in figures.levels if level.stages]
    if not known:
        return ""
    names = list(dict.fromkeys(stage.name for level in known for stage in level.stages))
    colours = {name: f"c{index}" if index < _COLOURS else "rest" for index, name in enumerate(names)}
    bars = [
        Bar(
            f"{level.at_once} at once",
            tuple((each.name, each.wall_s, colours[each.name]) for each in level.stages),
            f"request {level.median_s:.1f} s",
        )
        for level in known
    ]
    old = tuple((name, seconds, "rest") for name, seconds in old_system.STAGES_S)
    bars.append(Bar("old system", old, f"request {old_system.REQUEST_S} s"))
    chart = stacked_bars("Seconds of one request by stage", Axis("mean seconds of one request, stages added up"), bars)
    return chart + legend([*colours.items(), ("stages of the old system", "rest")])


def _workers(figures: Figures) -> str:
    points = tuple((float(load.workers or 0), load.per_s) for load in figures.workers)
    if not points:
        return ""
    old = tuple((float(count), each) for count, each in {1: old_system.PER_S, **old_system.PER_S_OF_WORKERS}.items())
    lines = (Series("this service", points, "c0"), Series("old system", old, "rest"))
    axis = Axis("workers")
    return line_chart("Requests in a second by workers", axis, Axis("requests in a second"), lines)
