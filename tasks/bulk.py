"""The tasks of a bulk run: fetch a manifest, submit a job for each of its rows, show the result of each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from prefect import task
from prefect.settings import get_current_settings

from lipsync_core.errors import InputError
from lipsync_service.client.batch import PlannedRow, SubmittedRow, plan_rows, submit_rows
from lipsync_service.client.job_client import open_client
from lipsync_service.client.manifest import ManifestRow, read_manifest
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.storage import Storage
from tasks.artifacts import show_table
from tasks.stages import NOT_PERSISTED, RETRIED, TRANSFER_LIMIT_S


@task(name="fetch", task_run_name="fetch manifest", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def fetch_manifest(settings: Settings, manifest: str, tenant: str | None = None) -> tuple[PlannedRow, ...]:
    """Fetch the manifest and check its rows, all of which are jobs of `tenant`."""
    with Storage(settings, reach=Reach(settings, tenant)).fetch(manifest) as copy:
        rows = read_manifest(copy.path, PurePosixPath(urlsplit(manifest).path).suffix)
    return plan_rows([of_tenant(row, tenant) for row in rows])


def of_tenant(row: ManifestRow, tenant: str | None) -> ManifestRow:
    """The row as a job of `tenant`, or refused where it names another one."""
    if row.request is None or row.request.tenant == tenant:
        return row
    if row.request.tenant is None:
        return replace(row, request=row.request.model_copy(update={"tenant": tenant}))
    return replace(row, request=None, faults=("tenant: it is not that of the manifest",))


@task(name="submit", task_run_name="submit", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def submit_manifest(settings: Settings, rows: tuple[PlannedRow, ...], retry_failed: bool) -> list[SubmittedRow]:
    """Submit the rows that are not jobs yet; a retry goes on where the last try stopped."""
    with open_client(of_this_run(settings)) as client:
        return list(submit_rows(client, rows, _nothing_to_upload, retry_failed))


def of_this_run(settings: Settings) -> Settings:
    """The settings with the Prefect API of the present run."""
    api = get_current_settings().api
    return settings.model_copy(update={"api_url": api.url or settings.api_url, "api_auth": api.auth_string})


def _nothing_to_upload(row: PlannedRow) -> None:
    """A manifest at an address names no local files."""


def show_rows(rows: Sequence[SubmittedRow]) -> None:
    """Show the rows and their jobs as an artifact.

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
