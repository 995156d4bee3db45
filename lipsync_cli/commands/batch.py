"""`lipsync batch`: a job for every row of a manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipsync_cli.environment import rules_of_reading, service_option
from lipsync_cli.extra import service_extra
from lipsync_cli.failures import write_stdout
from lipsync_cli.progress.batch import watched_batch
from lipsync_cli.progress.steps import Step, shown_steps, transfer_step
from lipsync_cli.render.batch_table import dry_run_fields, render_dry_run, render_report, report_fields
from lipsync_cli.render.job_table import render_json
from lipsync_cli.service import Service, open_service
from lipsync_cli.signals import remaining
from lipsync_core.errors import InputError
from lipsync_service.errors import BatchIncompleteError

if TYPE_CHECKING:
    from lipsync_service.client.batch import PlannedRow, SubmittedRow

_COMMAND = "lipsync batch"


@click.command(
    epilog="Exit status: 0 when every row has its output (with --no-wait: when every row is a job), 10 when some have "
    "none, 3 when --dry-run finds rows that are wrong."
)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what is wrong and what would be submitted, and submit nothing.")
@click.option("--retry-failed", is_flag=True, help="Run jobs again that failed or were cancelled in an earlier run.")
@click.option("--wait/--no-wait", "is_waiting", default=True, help="Stay until all jobs have ended.")
@click.option("--json", "as_json", is_flag=True, help="Write the rows and the summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; the summary stays.")
@service_option
def batch(
    manifest: Path,
    dry_run: bool,
    retry_failed: bool,
    is_waiting: bool,
    as_json: bool,
    quiet: bool,
    service_file: Path | None,
) -> None:
    """Submit a job for every row of MANIFEST, wait for them, and sum up.

    MANIFEST is a .csv file with a header or a .jsonl file. Its fields are those of `lipsync submit` (video, audio,
    output, model, crf, …; labels as metadata.NAME); video, audio and output are addresses, or files that lie relative
    to the manifest. Jobs wait in the queue bulk unless a row names its priority.

    A row is the same job as long as it asks for the same, or has the same idempotency_key: running the command again
    submits only what is new, and brings results that are not here yet.

    \b
    lipsync batch rows.csv --dry-run
    lipsync batch rows.csv
    lipsync batch rows.csv --retry-failed
    """
    with open_service(_COMMAND, service_file) as service:
        rows = _planned(service, manifest)
        if dry_run:
            _conclude_dry_run(rows, as_json)
            return
        submitted = _submitted(service, rows, retry_failed, quiet)
        report = watched_batch(service, submitted, is_waiting, quiet)
    write_stdout(render_json(report_fields(report)) if as_json else render_report(report))
    if report.lacking:
        message = f"{report.lacking} of {len(rows)} rows have no output"
        raise BatchIncompleteError(message, "correct them, or run failed jobs again with --retry-failed")


def _planned(service: Service, manifest: Path) -> "Sequence[PlannedRow]":
    with service_extra(_COMMAND):
        from lipsync_service.client.batch import plan_rows
        from lipsync_service.client.manifest import read_manifest
    with rules_of_reading():
        rows = read_manifest(manifest, folder=manifest.parent)
    return plan_rows(rows, service.files.addressed)


def _conclude_dry_run(rows: "Sequence[PlannedRow]", as_json: bool) -> None:
    if as_json:
        write_stdout(render_json(dry_run_fields(rows)))
    else:
        write_stdout(render_dry_run(rows))
    wrong = sum(bool(row.faults) for row in rows)
    if wrong:
        raise InputError(f"{wrong} of {len(rows)} rows hold no request", "correct these rows")


def _submitted(service: Service, rows: "Sequence[PlannedRow]", retry_failed: bool, quiet: bool) -> "list[SubmittedRow]":
    from lipsync_service.client.batch import submit_rows

    submitted: list[SubmittedRow] = []
    with remaining("the submitted jobs go on; run the command again for the rest"), shown_steps(quiet) as show:

        def upload(row: "PlannedRow") -> None:
            show(Step(f"submitting {len(rows)} rows", 100 * len(submitted) / len(rows)))
            if row.request is not None:
                service.send(row.request, row.local, lambda path, progress: show(transfer_step(path, progress)))

        for each in submit_rows(service.client, rows, upload, retry_failed):
            submitted.append(each)
    return submitted
