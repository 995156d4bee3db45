"""The timing report as one HTML page with its style and charts inside; it has no script and loads no other file."""

from html import escape

from lipsync_cli.render.timing_charts import columns_over_time, legend, percentile_bars, share_bar, stage_colours
from lipsync_cli.render.timing_table import percent, period_text
from lipsync_service.ledger.timing_report import StageLine, TimingBreakdown

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2330; --soft: #66707f; --line: #e1e5ea; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12151b; --card: #1b2029; --ink: #e8ebf0; --soft: #98a2b1; --line: #2d3440; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; margin: 0 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 0 0 14px; }
p { margin: 0 0 20px; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 20px; margin: 0 0 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 16px; margin: 0 0 16px; }
.tiles section { margin: 0; padding: 16px 20px; }
.tiles b { display: block; font-size: 26px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; min-width: 620px; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .axis, svg .value { fill: var(--soft); }
svg .axis, svg .on { text-anchor: middle; }
svg .name { text-anchor: end; }
svg .on { fill: #fff; font-weight: 600; }
.grid { stroke: var(--line); }
.whisker { stroke: var(--soft); stroke-width: 1.5; fill: none; }
.c0 { fill: #3b66c4; background: #3b66c4; } .c1 { fill: #c26a1b; background: #c26a1b; }
.c2 { fill: #2c8a72; background: #2c8a72; } .c3 { fill: #a8487f; background: #a8487f; }
.c4 { fill: #7a5bc2; background: #7a5bc2; } .c5 { fill: #9a7b12; background: #9a7b12; }
.c6 { fill: #2b87a8; background: #2b87a8; } .c7 { fill: #b8474a; background: #b8474a; }
.rest { fill: #808893; background: #808893; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; padding: 0; }
.legend { font-size: 13px; }
i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
tr.part td { color: var(--soft); } tr.part td:first-child { padding-left: 30px; }
"""
_HEADINGS = ("Stage", "Median", "95th percentile", "Share of total", "Runs", "Cached")


def render_html(report: TimingBreakdown) -> str:
    """The page as text. It needs no other files, and has a light and a dark style."""
    parts = [_tiles(report)]
    if report.lines:
        parts += [
            _section("Share of each stage", _wide(share_bar(report)) + legend(report)),
            _section("Median and 95th percentile of a run", _wide(percentile_bars(report))),
            _section("Mean seconds of one job, over time", _wide(columns_over_time(report))),
            _section("All stages", _table(report)),
        ]
    else:
        parts.append(_section("Share of each stage", "No stage ended in this period."))
    parts.append(_section("Why jobs failed", _errors(report)))
    body = "\n".join(part for part in parts if part)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>lipsync: where the time went</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>Where the time went</h1>\n<p>{escape(period_text(report))}</p>\n{body}\n</main>\n"
        "</body>\n</html>"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _wide(content: str) -> str:
    """Wrap `content` so that it keeps its width on a small screen and can be scrolled there."""
    return f'<div class="scroll">{content}</div>' if content else ""


def _tiles(report: TimingBreakdown) -> str:
    states = dict(report.states)
    frames = sum(count for _, count in report.outcomes)
    synced = dict(report.outcomes).get("synced", 0)
    per_job_s = report.total_s / report.jobs if report.jobs else 0.0
    tiles = [
        (f"{report.jobs:,}", "jobs"),
        (f"{states.get('completed', 0):,}", f"completed, {states.get('failed', 0):,} failed"),
        (f"{per_job_s:.1f} s", "in stages, mean of a job"),
        (percent(synced / frames) if frames else "–", f"of {frames:,} frames synced"),
    ]
    cards = "".join(f"<section><b>{value}</b><span>{label}</span></section>" for value, label in tiles)
    return f'<div class="tiles">{cards}</div>'


def _table(report: TimingBreakdown) -> str:
    colours = stage_colours(report)
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    rows = "".join(_row(line, colours.get(line.stage, "rest")) for line in report.lines)
    return _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _row(line: StageLine, style: str) -> str:
    mark = "" if line.part_of else f'<i class="{style}"></i>'
    times = (f"{line.median_s:.2f} s", f"{line.p95_s:.2f} s") if line.runs else ("", "")
    cells = (*times, percent(line.share), f"{line.runs:,}", f"{line.cached:,}" if line.cached else "")
    numbers = "".join(f"<td>{cell}</td>" for cell in cells)
    kind = ' class="part"' if line.part_of else ""
    return f"<tr{kind}><td>{mark}{escape(line.stage)}</td>{numbers}</tr>"


def _errors(report: TimingBreakdown) -> str:
    if not report.errors:
        return ""
    rows = "".join(f"<tr><td>{escape(code)}</td><td>{count:,}</td></tr>" for code, count in report.errors)
    return f"<table><thead><tr><th>Error code</th><th>Jobs</th></tr></thead><tbody>{rows}</tbody></table>"
