"""The timing report as text, Markdown and JSON."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from textwrap import wrap

from lipsync_cli.render.markdown import escaped
from lipsync_cli.wording import iso
from lipsync_service.ledger.counts import ModelScores
from lipsync_service.ledger.timing_report import StageLine, TimingBreakdown

SCHEMA = "lipsync.timing/1"
_WIDTH = 80  # of a terminal
_HEADINGS = ("stage", "median s", "p95 s", "of total", "CPU s", "runs", "cached")


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row as text; a part's name is indented."""

    stage: str
    median: str
    p95: str
    share: str
    cpu: str  # of all runs
    runs: str
    cached: str

    @property
    def numbers(self) -> tuple[str, ...]:
        return (self.median, self.p95, self.share, self.cpu, self.runs, self.cached)


def render_text(report: TimingBreakdown) -> str:
    """The facts, then the table, about 80 columns wide."""
    facts = [part for line in fact_lines(report) for part in wrap(line, _WIDTH, subsequent_indent="  ")]
    if not report.lines:
        return "\n".join([*facts, "no stage ended in this period"])
    rows = [_cells(line) for line in report.lines]
    width = max(len(_HEADINGS[0]), *(len(row.stage) for row in rows))
    header = _text_row(_HEADINGS[0], _HEADINGS[1:], width)
    table = [_text_row(row.stage, row.numbers, width) for row in rows]
    seconds = f"{report.total_s:.2f} s of wall time in all stages, {report.cpu_s:.2f} s of CPU"
    total = _text_row("total", (seconds,), width)
    rule = "-" * len(header)
    return "\n".join([*facts, "", header, rule, *table, rule, total])


def render_markdown(report: TimingBreakdown) -> str:
    """The facts as a Markdown list, then the table in Markdown."""
    facts = "\n".join(f"- {escaped(line)}" for line in fact_lines(report))
    if not report.lines:
        return f"{facts}\n- no stage ended in this period"
    header = f"| {' | '.join(_HEADINGS)} |\n|---|{'---:|' * (len(_HEADINGS) - 1)}"
    rows = []
    for line in report.lines:
        cells, name = _cells(line), escaped(line.stage)
        rows.append(f"| {f'↳ {name}' if line.part_of else name} | {' | '.join(cells.numbers)} |")
    return "\n".join([facts, "", header, *rows])


def render_json(report: TimingBreakdown) -> str:
    """One JSON object; fields are only ever added within `lipsync.timing/1`."""
    wanted = report.filter
    fields = {
        "schema": SCHEMA,
        "since": iso(wanted.since),
        "until": iso(wanted.until),
        "model": wanted.model,
        "pool": wanted.pool,
        "first": iso(report.first),
        "last": iso(report.last),
        "jobs": report.jobs,
        "states": dict(report.states),
        "errors": dict(report.errors),
        "frames": dict(report.outcomes),
        "changes": dict(report.changes),
        "warnings": dict(report.warnings),
        "signatures": dict(report.signatures),
        "scores": [asdict(scores) for scores in report.scores],
        "total_s": report.total_s,
        "stages": [_fields(line) for line in report.lines],
        "bucket_s": report.bucket_s,
        "buckets": [
            {"start": iso(bucket.start), "jobs": bucket.jobs, "mean_s": dict(bucket.stages)}
            for bucket in report.buckets
        ],
    }
    return json.dumps(fields, indent=2)


def fact_lines(report: TimingBreakdown) -> list[str]:
    """The period, the jobs, the failures, the frames, changes, warnings and providers, one line each."""
    states = ", ".join(f"{count} {state}" for state, count in report.states)
    lines = [period_text(report), f"{report.jobs} jobs" + (f": {states}" if states else "")]
    if report.errors:
        lines.append("failed with " + ", ".join(f"{code} ({count})" for code, count in report.errors))
    frames = sum(count for _, count in report.outcomes)
    if frames:
        synced = dict(report.outcomes).get("synced", 0)
        lines.append(f"{synced} of {frames} frames synced ({percent(synced / frames)})")
    if report.changes:
        lines.append("pictures: " + ", ".join(f"{change} ({count})" for change, count in report.changes))
    if report.warnings:
        lines.append("preflight: " + ", ".join(f"{code} ({count})" for code, count in report.warnings))
    if report.signatures:
        lines.append("signatures: " + ", ".join(f"{kind} ({count})" for kind, count in report.signatures))
    lines += [f"sync scores of {scores_text(scores)}" for scores in report.scores]
    ran_on = [
        f"{line.stage} on {' and '.join(f'{provider} ({runs})' for provider, runs in line.providers)}"
        for line in report.lines
        if line.providers and not line.part_of
    ]
    if ran_on:
        lines.append("networks: " + ", ".join(ran_on))
    return lines


def scores_text(scores: ModelScores) -> str:
    """The scores of one model in one line."""
    low = f", {scores.low} too low" if scores.low else ""
    return f"{scores.model}: median {scores.median:.2f}, lowest {scores.lowest:.2f}, of {scores.jobs} jobs{low}"


def period_text(report: TimingBreakdown) -> str:
    """The period, the model and the pool in one line."""
    wanted = report.filter
    start, end = wanted.since or report.first, wanted.until or report.last
    period = f"{_minute(start)} to {_minute(end)} UTC" if start and end else "all time"
    model = f"model {wanted.model}" if wanted.model else "all models"
    return f"{period}, {model}, {f'pool {wanted.pool}' if wanted.pool else 'all pools'}"


def percent(share: float) -> str:
    """0..1 as "12.3 %"."""
    return f"{100 * share:.1f} %"


def _cells(line: StageLine) -> _Cells:
    times = (f"{line.median_s:.2f}", f"{line.p95_s:.2f}") if line.runs else ("", "")
    name = f"  {line.stage}" if line.part_of else line.stage
    return _Cells(name, *times, percent(line.share), f"{line.cpu_s:.2f}", str(line.runs), str(line.cached or ""))


def _text_row(name: str, cells: tuple[str, ...], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"  {cell:>9}" for cell in cells).rstrip()


def _fields(line: StageLine) -> dict[str, str | float | dict[str, int] | None]:
    return {
        "stage": line.stage,
        "part_of": line.part_of or None,
        "runs": line.runs,
        "cached": line.cached,
        "median_s": line.median_s if line.runs else None,
        "p95_s": line.p95_s if line.runs else None,
        "total_s": line.total_s,
        "cpu_s": line.cpu_s,
        "share": line.share,
        "providers": dict(line.providers),
    }


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
