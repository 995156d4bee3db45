"""The timing report as one HTML page with its style and charts inside; it has no script and loads no other file."""

from html import escape

from lipsync_cli.render.page import html_page, section, table, tiles, wide
from lipsync_cli.render.timing_charts import columns_over_time, percentile_bars, share_bar, stage_colours, stage_legend
from lipsync_cli.render.timing_table import percent, period_text
from lipsync_service.ledger.timing_report import StageLine, TimingBreakdown

_HEADINGS = ("Stage", "Median", "95th percentile", "Share of total", "CPU", "Runs", "Cached")


def render_html(report: TimingBreakdown) -> str:
    """The page as text. It needs no other files, and has a light and a dark style."""
    parts = [_tiles(report)]
    if report.lines:
        parts += [
            section("Share of each stage", wide(share_bar(report)) + stage_legend(report)),
            section("Median and 95th percentile of a run", wide(percentile_bars(report))),
            section("Mean seconds of one job, over time", wide(columns_over_time(report))),
            section("All stages", _table(report)),
        ]
    else:
        parts.append(section("Share of each stage", "No stage ended in this period."))
    parts.append(section("What was changed in all pictures", _changes(report)))
    parts.append(section("What the preflight warned of", _warnings(report)))
    parts.append(section("Signatures of results", _signatures(report)))
    parts.append(section("Sync scores of results", _scores(report)))
    parts.append(section("Why jobs failed", _errors(report)))
    return html_page("Where the time went", period_text(report), parts)


def _tiles(report: TimingBreakdown) -> str:
    states = dict(report.states)
    frames = sum(count for _, count in report.outcomes)
    synced = dict(report.outcomes).get("synced", 0)
    per_job_s = report.total_s / report.jobs if report.jobs else 0.0
    shown = [
        (f"{report.jobs:,}", "jobs"),
        (f"{states.get('completed', 0):,}", f"completed, {states.get('failed', 0):,} failed"),
        (f"{per_job_s:.1f} s", "in stages, mean of a job"),
        (percent(synced / frames) if frames else "–", f"of {frames:,} frames synced"),
    ]
    return tiles(shown)


def _table(report: TimingBreakdown) -> str:
    colours = stage_colours(report)
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    rows = "".join(_row(line, colours.get(line.stage, "rest")) for line in report.lines)
    return wide(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _row(line: StageLine, style: str) -> str:
    mark = "" if line.part_of else f'<i class="{style}"></i>'
    times = (f"{line.median_s:.2f} s", f"{line.p95_s:.2f} s") if line.runs else ("", "")
    counts = (f"{line.runs:,}", f"{line.cached:,}" if line.cached else "")
    cells = (*times, percent(line.share), f"{line.cpu_s:,.1f} s", *counts)
    numbers = "".join(f"<td>{cell}</td>" for cell in cells)
    kind = ' class="part"' if line.part_of else ""
    return f"<tr{kind}><td>{mark}{escape(line.stage)}</td>{numbers}</tr>"


def _changes(report: TimingBreakdown) -> str:
    return table(("Change", "Jobs"), [(change, f"{count:,}") for change, count in report.changes])


def _warnings(report: TimingBreakdown) -> str:
    return table(("Warning", "Jobs"), [(code, f"{count:,}") for code, count in report.warnings])


def _signatures(report: TimingBreakdown) -> str:
    return table(("Signature", "Jobs"), [(kind, f"{count:,}") for kind, count in report.signatures])


def _scores(report: TimingBreakdown) -> str:
    rows = [
        (each.model, f"{each.median:.2f}", f"{each.lowest:.2f}", f"{each.jobs:,}", f"{each.low:,}")
        for each in report.scores
    ]
    return table(("Model", "Median", "Lowest", "Jobs", "Too low"), rows)


def _errors(report: TimingBreakdown) -> str:
    return table(("Error code", "Jobs"), [(code, f"{count:,}") for code, count in report.errors])
