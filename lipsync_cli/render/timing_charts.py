"""The charts of the timing report as SVG, which any browser draws without a script."""

from collections.abc import Sequence
from html import escape

from lipsync_cli.render.charts import WIDTH_PX, horizontal_grid, legend, nice_top, svg, vertical_grid
from lipsync_cli.render.timing_table import percent
from lipsync_service.ledger.timing_report import Bucket, StageLine, TimingBreakdown

_LABEL_PX = 130
_COLOURS = 8  # stages with a colour of their own, `c0` to `c7` of the page's style; the rest share grey
_REST = "other stages"
_DAY_S = 86_400


def stage_colours(report: TimingBreakdown) -> dict[str, str]:
    """The style class of each stage of the job itself, the largest share first."""
    stages = [line.stage for line in report.lines if not line.part_of and line.stage != "other"]
    return {stage: f"c{index}" for index, stage in enumerate(stages[:_COLOURS])}


def share_bar(report: TimingBreakdown) -> str:
    """One bar over the whole width: every stage's share of all time."""
    height_px, x, parts = 44, 0.0, []
    for name, style, share in _slices(report):
        width = share * WIDTH_PX
        title = f"<title>{escape(name)}: {percent(share)}</title>"
        parts.append(f'<rect class="{style}" x="{x:.1f}" y="0" width="{width:.1f}" height="{height_px}">{title}</rect>')
        if width > 52:
            parts.append(f'<text class="on" x="{x + width / 2:.1f}" y="27">{percent(share)}</text>')
        x += width
    return svg(height_px, "Share of all wall time by stage", parts)


def stage_legend(report: TimingBreakdown) -> str:
    """The legend: the name of each stage beside its colour."""
    return legend((name, style) for name, style, _ in _slices(report))


def percentile_bars(report: TimingBreakdown) -> str:
    """A bar to the median and a whisker to the 95th percentile, one row for each stage that ran."""
    lines = [line for line in report.lines if not line.part_of and line.runs]
    if not lines:
        return ""
    top = nice_top(max(line.p95_s for line in lines))
    row_px, plot_px, colours = 30, WIDTH_PX - _LABEL_PX - 130, stage_colours(report)
    bottom = row_px * len(lines)
    parts = vertical_grid(top, (_LABEL_PX, plot_px), bottom, "s")
    for index, line in enumerate(lines):
        scale = plot_px / top
        parts += _percentile_row(line, colours.get(line.stage, "rest"), row_px * index, scale)
    return svg(bottom + 26, "Median and 95th percentile of each stage in seconds", parts)


def columns_over_time(report: TimingBreakdown) -> str:
    """A stacked column for each slice of the period: the mean seconds of one job by stage."""
    buckets, colours = report.buckets, stage_colours(report)
    if len(buckets) < 2:
        return ""
    top = nice_top(max(sum(seconds for _, seconds in bucket.stages) for bucket in buckets))
    left, height_px = 50, 220
    step = (WIDTH_PX - left) / _slots(buckets, report.bucket_s)
    parts = horizontal_grid(top, (left, WIDTH_PX), height_px, "s")
    labelled = -1e9
    for bucket in buckets:
        slot = (bucket.start - buckets[0].start).total_seconds() / report.bucket_s
        x = left + step * slot
        parts += _column(bucket, colours, (x + step * 0.1, step * 0.8), height_px / top, height_px)
        if x - labelled > 76 and x + step / 2 < WIDTH_PX - 36:
            labelled = x
            parts.append(
                f'<text class="axis" x="{x + step / 2:.1f}" y="{height_px + 18}">{_moment(bucket, report)}</text>'
            )
    return svg(height_px + 26, "Mean seconds of one job by stage, over time", parts)


def _slices(report: TimingBreakdown) -> list[tuple[str, str, float]]:
    """Name, style and share of each slice; all stages without a colour of their own form the last one."""
    colours = stage_colours(report)
    lines = [line for line in report.lines if not line.part_of]
    slices = [(line.stage, colours[line.stage], line.share) for line in lines if line.stage in colours]
    rest = sum(line.share for line in lines if line.stage not in colours)
    return [*slices, (_REST, "rest", rest)] if rest > 0 else slices


def _percentile_row(line: StageLine, style: str, y: float, scale: float) -> list[str]:
    median, p95, middle = line.median_s * scale + _LABEL_PX, line.p95_s * scale + _LABEL_PX, y + 15
    title = f"<title>{escape(line.stage)}: median {line.median_s:.2f} s, p95 {line.p95_s:.2f} s</title>"
    return [
        f'<text class="name" x="{_LABEL_PX - 10}" y="{middle + 4}">{escape(line.stage)}</text>',
        f'<rect class="{style}" x="{_LABEL_PX}" y="{y + 6}" width="{max(1.0, median - _LABEL_PX):.1f}" height="18" '
        f'rx="2">{title}</rect>',
        f'<path class="whisker" d="M{median:.1f} {middle}H{p95:.1f}M{p95:.1f} {middle - 5}v10"/>',
        f'<text class="value" x="{p95 + 8:.1f}" y="{middle + 4}">{line.median_s:.2f} / {line.p95_s:.2f} s</text>',
    ]


def _column(
    bucket: Bucket, colours: dict[str, str], span: tuple[float, float], scale: float, floor: float
) -> list[str]:
    """One column, with its left edge and width in px as `span`; stages are stacked in the order of their colours."""
    seconds = dict(bucket.stages)
    rest = sum(value for name, value in seconds.items() if name not in colours)
    stack = [(name, style, seconds[name]) for name, style in colours.items() if name in seconds]
    (x, width), y, parts = span, floor, []
    for name, style, value in [*stack, (_REST, "rest", rest)]:
        height = value * scale
        y -= height
        title = f"<title>{escape(name)}: {value:.2f} s a job, {bucket.jobs} jobs</title>"
        box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        parts.append(f'<rect class="{style}" {box}>{title}</rect>')
    return parts


def _slots(buckets: Sequence[Bucket], bucket_s: int) -> int:
    return int((buckets[-1].start - buckets[0].start).total_seconds() // bucket_s) + 1


def _moment(bucket: Bucket, report: TimingBreakdown) -> str:
    """The start of the bucket in UTC, as all times of the report; the heading names the zone."""
    return f"{bucket.start:%d %b %H:%M}" if report.bucket_s < _DAY_S else f"{bucket.start:%d %b}"
