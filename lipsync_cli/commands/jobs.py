"""`lipsync jobs`: shows the service's jobs, stops them, runs them again, waits for them."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import click

from lipsync_cli.commands.report import Day, Span
from lipsync_cli.commands.waiting import conclude, wait_for_job
from lipsync_cli.environment import service_option
from lipsync_cli.failures import write_stdout
from lipsync_cli.render.job_table import (
    JobDetails,
    details_fields,
    job_fields,
    render_details,
    render_json,
    render_list,
)
from lipsync_cli.service import Service, open_service
from lipsync_service.names import JOB_STATES, MODEL_PART, PARTS_ARTIFACT, TIMINGS_ARTIFACT

_COMMAND = "lipsync jobs"


class Since(click.ParamType[datetime]):
    """A span before now, or a date."""

    name = "span or date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, with its zone."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        if text[-1:].isalpha() and text[:-1].isdigit():
            return datetime.now(UTC) - Span().convert(text, param, ctx)
        return Day().convert(text, param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
job_argument = click.argument("job_id", metavar="ID", type=click.UUID)


@click.group()
def jobs() -> None:
    """Look at the service's jobs, stop them, run them again, wait for them."""


@jobs.command("list")
@click.option("--state", "states", type=click.Choice(JOB_STATES), multiple=True, help="Only these; may be repeated.")
@click.option("--since", type=Since(), help="Only what was due in this last span (90m, 24h, 7d) or since this date.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="The newest ones.")
@json_option
@service_option
def list_jobs(
    states: Sequence[str], since: datetime | None, limit: int, as_json: bool, service_file: Path | None
) -> None:
    """List jobs, the newest first."""
    with open_service(_COMMAND, service_file) as service:
        from lipsync_service.client.job_client import JobQuery

        found = service.client.jobs(JobQuery(cast(Any, tuple(states)) or None, since, limit))
    if as_json:
        write_stdout(render_json([job_fields(job) for job in found]))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        write_stdout(render_list(found, width))


@jobs.command()
@job_argument
@json_option
@service_option
def show(job_id: UUID, as_json: bool, service_file: Path | None) -> None:
    """Show everything that is known of a job: its request, its task runs, where its time went."""
    with open_service(_COMMAND, service_file) as service:
        details = _details(service, job_id)
    write_stdout(render_json(details_fields(details)) if as_json else render_details(details))


@jobs.command()
@job_argument
@service_option
def cancel(job_id: UUID, service_file: Path | None) -> None:
    """Stop a job that has not ended."""
    with open_service(_COMMAND, service_file) as service:
        job = service.client.cancel(job_id)
    write_stdout(f"job {job_id} " + (f"is {job.state}" if job.is_final else "is being cancelled"))


@jobs.command()
@job_argument
@service_option
def retry(job_id: UUID, service_file: Path | None) -> None:
    """Run a job again that failed, crashed or was cancelled: the same job, another attempt."""
    with open_service(_COMMAND, service_file) as service:
        job = service.client.retry(job_id)
    write_stdout(f"job {job_id} runs again, attempt {job.attempt + 1}; to wait for it: lipsync jobs wait {job_id}")


@jobs.command(epilog="The exit status is the job's: the one that `lipsync run` gives for the same failure.")
@job_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="Bring the result to this file.")
@click.option("--json", "as_json", is_flag=True, help="Write the job to standard output as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no report.")
@service_option
def wait(job_id: UUID, output: Path | None, as_json: bool, quiet: bool, service_file: Path | None) -> None:
    """Wait until a job has ended, and bring its result."""
    with open_service(_COMMAND, service_file) as service:
        if output is not None:
            from lipsync_core.media.output import check_output

            check_output(output)
        ended = wait_for_job(service, job_id, output, quiet)
    conclude(ended, output, as_json, quiet)


def _details(service: Service, job_id: UUID) -> JobDetails:
    job = service.client.job(job_id)
    timings = _rows(service, job_id, TIMINGS_ARTIFACT)
    models = [row for row in _rows(service, job_id, PARTS_ARTIFACT) if row.get("part") == MODEL_PART]
    return JobDetails(
        job, service.client.tasks(job_id), timings, service.client.facts(job_id), models[-1] if models else None
    )


def _rows(service: Service, job_id: UUID, key: str) -> list[Mapping[str, Any]]:
    """The rows of the job's table artifacts with this key, which Prefect stores as JSON text."""
    tables = service.client.artifacts(job_id, key)
    found = [json.loads(table) if isinstance(table, str) else table for table in tables]
    return [row for rows in found if isinstance(rows, list) for row in rows]
