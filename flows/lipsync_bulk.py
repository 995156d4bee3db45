"""Many jobs from one manifest, each a run of its own in the queue `bulk`."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.settings import get_current_settings
from pydantic import Field

from lipsync_core.errors import InputError, LipSyncError
from lipsync_service.client.batch import PlannedRow, SubmittedRow, plan_rows, submit_rows
from lipsync_service.client.job_client import open_client
from lipsync_service.client.manifest import read_manifest
from lipsync_service.names import BULK_FLOW
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage
from tasks.artifacts import show_table
from tasks.handover import failed_state
from tasks.stages import NOT_KEPT, TRANSFER_LIMIT_S, TRIED_AGAIN, whole

_Manifest = Annotated[
    str, Field(title="Manifest", description="Address of a .csv or .jsonl file with a request in every row.")
]
_RetryFailed = Annotated[
    bool, Field(title="Retry failed", description="Run jobs of an earlier time again that failed or were cancelled.")
]


@flow(name=BULK_FLOW, persist_result=False, validate_parameters=True)
def lipsync_bulk(manifest: _Manifest, retry_failed: _RetryFailed = False) -> State[Any] | None:
    """Submit a job for every row of a manifest; running it again submits only rows that are new or changed.

    The artifact `submitted` says what became of each row. The run fails when a row holds no request, after the
    others have been submitted; what becomes of the jobs is their own affair.
    """
    settings = Settings()
    try:
        _show(submit(whole(settings), whole(fetch(whole(settings), manifest)), retry_failed))
    except LipSyncError as error:
        return failed_state(error)
    return None


@task(name="fetch", task_run_name="fetch manifest", timeout_seconds=TRANSFER_LIMIT_S, **TRIED_AGAIN, **NOT_KEPT)
def fetch(settings: Settings, manifest: str) -> tuple[PlannedRow, ...]:
    """The manifest's rows, checked."""
    with Storage(settings).fetch(manifest) as copy:
        return plan_rows(read_manifest(copy.path, PurePosixPath(urlsplit(manifest).path).suffix))


@task(name="submit", task_run_name="submit", timeout_seconds=TRANSFER_LIMIT_S, **TRIED_AGAIN, **NOT_KEPT)
def submit(settings: Settings, rows: tuple[PlannedRow, ...], retry_failed: bool) -> list[SubmittedRow]:
    """Submit the rows that are not there yet; done again, it goes on where it was."""
    with open_client(_of_this_run(settings)) as client:
        return list(submit_rows(client, rows, _nothing_to_upload, retry_failed))


def _of_this_run(settings: Settings) -> Settings:
    """The settings with the API that this run itself belongs to."""
    api = get_current_settings().api
    return settings.model_copy(update={"api_url": api.url or settings.api_url, "api_auth": api.auth_string})


def _nothing_to_upload(row: PlannedRow) -> None:
    """A manifest that is somewhere else names no files of this machine."""


def _show(rows: Sequence[SubmittedRow]) -> None:
    """Make the artifact.

    Raises:
        InputError: a row holds no request, or its key belongs to another one.
    """
    table: list[dict[str, object]] = [
        {"row": each.row.number, "run": str(each.job_id or ""), "fate": each.fate, "faults": _faults(each)}
        for each in rows
    ]
    show_table(table, "submitted", "The manifest's rows and their runs")
    bad = [each for each in rows if each.fate == "refused"]
    if bad:
        first = f"row {bad[0].row.number}: {_faults(bad[0])}"
        raise InputError(f"{len(bad)} of {len(rows)} rows hold no request, such as {first}", "correct these rows")


def _faults(row: SubmittedRow) -> str:
    return f"{row.error.code}: {row.error}" if row.error else "; ".join(row.row.faults)
