"""Jobs of the service as text for people and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lipsync_cli.wording import iso
from lipsync_core.option_specs import OPTIONS

if TYPE_CHECKING:
    from lipsync_service.client.job import Job
    from lipsync_service.client.prefect_api import TaskRun
    from lipsync_service.result_facts import ResultFacts

SCHEMA = "lipsync.job/1"
_WIDTH = 70  # beside the names of the facts, on a terminal of 80 columns


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job with its task runs, its timing table, what is known of its result, and its model."""

    job: "Job"
    tasks: Sequence["TaskRun"]
    timings: Sequence[Mapping[str, Any]]  # rows of the timing table; empty until the job has written it
    facts: "ResultFacts"
    model: Mapping[str, Any] | None = None  # the row that names the model and says why; None until it is chosen


def job_fields(job: "Job") -> dict[str, Any]:
    """One JSON object; fields are only ever added within `lipsync.job/1`."""
    return {
        "schema": SCHEMA,
        "id": str(job.id),
        "name": job.name,
        "state": job.state,
        "code": job.error_code,
        "message": str(job.error) if job.error else job.message or None,
        "attempt": job.attempt,
        "queue": job.queue,
        "pool": job.pool,
        "created": job.created_at.isoformat(),
        "started": iso(job.started_at),
        "finished": iso(job.finished_at),
        "ran_s": job.ran_s,
        "request": job.request.model_dump(mode="json") if job.request else None,
    }


def details_fields(details: JobDetails) -> dict[str, Any]:
    """As `job_fields`, with what is known of the result, the model, the task runs and the timing table."""
    tasks = [
        {
            "name": task.name,
            "state": _task_state(details.job, task),
            "started": iso(task.started_at),
            "wall_s": task.total_s,
        }
        for task in details.tasks
    ]
    model = {"model": details.model.get("chosen") if details.model else None}
    timings = [dict(row) for row in details.timings]
    return {**job_fields(details.job), **details.facts.as_json(), **model, "tasks": tasks, "timings": timings}


def render_json(value: object) -> str:
    """`value` as JSON, formatted as by `lipsync run --json`."""
    return json.dumps(value, indent=2)


def render_list(jobs: Sequence["Job"], width: int | None) -> str:
    """A line for each job, cut at `width` columns if there is one; in this machine's time."""
    if not jobs:
        return "no jobs"
    rows = [("job", "created", "state", "name or error"), *map(_list_row, jobs)]
    lines = [f"{job:<36}  {created:<11}  {state:<9}  {outcome}" for job, created, state, outcome in rows]
    return "\n".join(_cut(line.rstrip(), width) for line in lines)


def render_details(details: JobDetails) -> str:
    """The facts, the task runs and the timing table."""
    lines = [*fact_lines(_facts(details.job, details.model)), *fact_lines(details.facts.lines())]
    if details.tasks:
        lines += ["", f"{'task':<24}{'state':<12}{'seconds':>9}"]
        lines += [f"{task.name:<24}{_task_state(details.job, task):<12}{task.total_s:>9.2f}" for task in details.tasks]
    if details.timings:
        lines += ["", *_table(details.timings)]
    return "\n".join(line.rstrip() for line in lines)


def _facts(job: "Job", model: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    ran = f"{_moment(job.started_at)}" + (f", ran {job.ran_s:.1f} s" if job.ran_s is not None else "")
    facts = [
        ("job", str(job.id)),
        ("name", job.name),
        ("state", f"{job.state}, attempt {job.attempt}" if job.attempt else job.state),
        ("error", f"{job.error.code}: {job.error}" if job.error else ""),
        ("queue", job.queue or ""),
        ("pool", job.pool or ""),
        ("model", ", ".join(filter(None, (model.get("chosen"), model.get("reason")))) if model else ""),
        ("created", _moment(job.created_at)),
        ("started", ran if job.started_at else ""),
    ]
    request = job.request
    if request is None:
        return [*facts, ("request", "none that this version knows")]
    names = [name for name in type(request).model_fields if name in OPTIONS]
    chosen = [f"{name} {_worded(name, getattr(request, name))}" for name in names]
    options = ", ".join([*chosen, *(["strict"] if request.strict else [])])
    lines = wrap(options, _WIDTH)
    return [
        *facts,
        ("video", request.video),
        ("audio", request.audio),
        ("output", request.output),
        ("options", lines[0]),
        *(("", line) for line in lines[1:]),
        ("callback", request.callback_url or ""),
        ("key", request.idempotency_key or ""),
        *((f"label {name}", value) for name, value in request.metadata.items()),
    ]


def fact_lines(facts: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of each name whose text says something; addresses stay whole."""
    lines = []
    for name, text in facts:
        parts = wrap(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name if number == 0 else '':<9} {part}" for number, part in enumerate(parts)]
    return lines


def _task_state(job: "Job", task: "TaskRun") -> str:
    """The task's state in lower case; `stopped` for a task that was cut short by its job's end."""
    return "stopped" if job.is_final and task.state in ("Running", "Pending") else task.state.lower()


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows below their column names; a worker of another version may give other columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_text = [name in ("stage", "note") for name in names]
    return [
        "  ".join(
            f"{cell:<{width}}" if left else f"{cell:>{width}}"
            for cell, width, left in zip(line, widths, is_text, strict=True)
        )
        for line in cells
    ]


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _list_row(job: "Job") -> tuple[str, str, str, str]:
    outcome = (job.error_code or "") if job.state == "failed" else job.name
    return str(job.id), f"{job.created_at.astimezone():%m-%d %H:%M}", job.state, outcome


def _worded(name: str, value: object) -> str:
    if value is None:
        return OPTIONS[name].unset
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"
