"""Waits for a job of the service, shows its progress, and downloads its result."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from lipsync_cli.failures import write_stdout
from lipsync_cli.progress.steps import Step, shown_steps, transfer_step
from lipsync_cli.render.job_table import fact_lines, job_fields, render_json
from lipsync_cli.service import Service
from lipsync_cli.signals import remaining

if TYPE_CHECKING:
    from lipsync_service.client.job import Job
    from lipsync_service.result_facts import ResultFacts


def take_up_line(job_id: UUID, output: Path | None) -> str:
    """The command that waits for the job."""
    target = f" -o {shlex.quote(str(output))}" if output else ""
    return f"lipsync jobs wait {job_id}{target}"


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has ended, and what is known of its result."""

    job: "Job"
    facts: "ResultFacts"


def wait_for_job(service: Service, job_id: UUID, output: Path | None, is_quiet: bool) -> EndedJob:
    """Wait until the job has ended, and download a completed job's result to `output`, if given.

    Raises:
        JobStateError: the result lies at an address that cannot be fetched.
        LipSyncError: the result cannot be downloaded. The error of a failed job is not raised.
    """
    take_up = take_up_line(job_id, output)
    address = service.client.output_address(job_id) if output else ""
    with remaining(f"job {job_id} goes on; to wait for it again: {take_up}"), shown_steps(is_quiet) as show:
        job = service.client.wait(job_id, None if is_quiet else lambda job: show(_step(service, job)))
    if job.error is None and output is not None:
        with remaining(f"job {job_id} is {job.state}; to bring its result: {take_up}"), shown_steps(is_quiet) as show:
            service.files.download(address, output, lambda path, progress: show(transfer_step(path, progress)))
    return EndedJob(job, service.client.facts(job.id))


def conclude(ended: EndedJob, output: Path | None, as_json: bool, is_quiet: bool, is_new: bool | None = None) -> None:
    """Write the outcome of the job to standard output; `is_new` only for a job that this command submitted.

    Raises:
        LipSyncError: the error of a failed job.
    """
    job, facts = ended.job, ended.facts
    if as_json:
        submitted = {} if is_new is None else {"is_new": is_new}
        file = str(output) if output and not job.error else None
        write_stdout(render_json({**job_fields(job), **facts.as_json(), **submitted, "file": file}))
    if job.error is not None:
        raise job.error
    if not as_json and not is_quiet:
        target = output or (job.request.output if job.request else "")
        seconds = f" in {job.ran_s:.1f} s" if job.ran_s is not None else ""
        write_stdout("\n".join([f"job {job.id} {job.state}{seconds}: {target}", *fact_lines(facts.lines())]))


def say(text: str, is_quiet: bool) -> None:
    """Write a line to standard error, unless the command is quiet."""
    if not is_quiet:
        click.echo(text, err=True)


def _step(service: Service, job: "Job") -> Step:
    if job.state != "running":
        return Step("queued" if job.state == "scheduled" else "starting")
    progress = service.client.progress(job.id)
    return Step(", ".join(progress.stages) or "running", progress.percent)
