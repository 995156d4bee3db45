"""The rows of a manifest and their outcomes, as text for people and as JSON for programs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipsync_cli.progress.batch import BatchReport, RowReport
from lipsync_cli.wording import in_one_line

if TYPE_CHECKING:
    from lipsync_service.client.batch import PlannedRow

SCHEMA = "lipsync.batch/1"


def render_report(report: BatchReport) -> str:
    """The summary, then every row that has no output."""
    counts = Counter(row.outcome for row in report.rows)
    width = len(str(len(report.rows)))
    lines = [f"{len(report.rows)} rows"]
    for outcome, count in counts.most_common():
        codes = _codes(row for row in report.rows if row.outcome == outcome) if outcome == "failed" else {}
        by_code = ", ".join(f"{code} {number}" for code, number in codes.items())
        lines.append(f"{count:>{width}} {outcome}" + (f": {by_code}" if by_code else ""))
    for row in report.rows:
        if row.error is not None and row.outcome != "deduplicated":
            job = f"  job {row.job.id}, attempt {row.job.attempt}" if row.job else ""
            lines += ["", f"row {row.number}  {row.error.code}{job}", f"  {in_one_line(str(row.error))}"]
    return "\n".join(lines)


def report_fields(report: BatchReport) -> dict[str, Any]:
    """One JSON object; fields are only ever added within `lipsync.batch/1`."""
    counts = Counter(row.outcome for row in report.rows)
    return {
        "schema": SCHEMA,
        "rows": [_row_fields(row) for row in report.rows],
        "summary": {
            "rows": len(report.rows),
            "completed": counts["completed"],
            "already_done": counts["already done"],
            "submitted": counts["submitted"],
            "deduplicated": counts["deduplicated"],
            "invalid": counts["invalid"],
            "failed": counts["failed"],
            "failed_by_code": _codes(row for row in report.rows if row.outcome == "failed"),
        },
    }


def render_dry_run(rows: "Sequence[PlannedRow]") -> str:
    """A table of the faults, and one of the jobs that would be submitted."""
    wrong = [(row.number, *_split(fault)) for row in rows for fault in row.faults]
    lines: list[str] = []
    if wrong:
        width = max(len("field"), *(len(field) for _, field, _ in wrong))
        lines += [f"{'row':>5}  {'field':<{width}}  fault"]
        lines += [f"{number:>5}  {field:<{width}}  {in_one_line(fault)}" for number, field, fault in wrong]
        lines += [""]
    good = [row for row in rows if row.request is not None]
    if good:
        lines += [f"{'row':>5}  job", *(f"{row.number:>5}  {_described(row)}" for row in good), ""]
    jobs = sum(row.same_as is None for row in good)
    refused = sum(bool(row.faults) for row in rows)
    return "\n".join([*lines, f"{len(rows)} rows: {jobs} jobs, {len(good) - jobs} rows the same, {refused} wrong"])


def dry_run_fields(rows: "Sequence[PlannedRow]") -> dict[str, Any]:
    """The faults as one JSON object."""
    fields = [
        {
            "row": row.number,
            "same_as": row.same_as,
            "faults": [dict(zip(("field", "fault"), _split(fault), strict=True)) for fault in row.faults],
        }
        for row in rows
    ]
    return {"schema": SCHEMA, "rows": fields}


def _row_fields(row: RowReport) -> dict[str, Any]:
    job = row.job
    request = job.request if job else None
    return {
        "row": row.number,
        "outcome": row.outcome.replace(" ", "_"),
        "job": str(job.id) if job else None,
        "attempt": job.attempt if job else None,
        "code": row.error.code if row.error else None,
        "message": str(row.error) if row.error else None,
        "same_as": row.same_as,
        "output": str(row.output) if row.output else request.output if request else None,
    }


def _described(row: "PlannedRow") -> str:
    if row.same_as is not None:
        return f"the same as row {row.same_as}"
    from lipsync_core.shown_text import shown_url

    request = row.request
    paths = (row.local.video, row.local.audio, row.local.output)
    urls = (request.video, request.audio, request.output) if request else ("", "", "")
    video, audio, output = (_path_or_address(path, shown_url(url)) for path, url in zip(paths, urls, strict=True))
    return f"{video} + {audio} -> {output}"


def _path_or_address(path: Path | None, address: str) -> str:
    return str(path) if path else address


def _codes(rows: Iterable[RowReport]) -> dict[str, int]:
    return dict(Counter(row.error.code for row in rows if row.error).most_common())


def _split(fault: str) -> tuple[str, str]:
    field, _, text = fault.partition(": ")
    return field, text
