"""Many jobs from one manifest, each a run of its own in the queue `bulk`."""

from pathlib import PurePosixPath
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from pydantic import Field

from flows.handover import failed_state
from flows.manifest import ManifestRow, read_manifest
from lipsync_core.errors import InputError, LipSyncError
from tasks.settings import Settings
from tasks.storage import Storage

_DEPLOYMENT = "lipsync/lipsync"
_QUEUE = "bulk"
_Manifest = Annotated[
    str, Field(title="Manifest", description="Address of a .csv or .jsonl file with a request in every row.")
]


@flow(name="lipsync-bulk", persist_result=False, validate_parameters=True)
def lipsync_bulk(manifest: _Manifest) -> State[Any] | None:
    """Submit a job for every row of a manifest; running it again submits only rows that are new or changed.

    The artifact `submitted` says what became of each row. The run fails when a row holds no request, after the
    others have been submitted; what becomes of the jobs is their own affair.
    """
    try:
        with Storage(Settings()).fetch(manifest) as copy:
            rows = read_manifest(copy.path, PurePosixPath(urlsplit(manifest).path).suffix)
        _submit(rows)
    except LipSyncError as error:
        return failed_state(error)
    return None


def _submit(rows: tuple[ManifestRow, ...]) -> None:
    table = [{"row": row.number, "run": _submitted(row), "faults": "; ".join(row.faults)} for row in rows]
    create_table_artifact(table=table, key="submitted", description="The manifest's rows and their runs")
    bad = [row for row in rows if row.faults]
    if bad:
        first = f"row {bad[0].number}: {bad[0].faults[0]}"
        raise InputError(f"{len(bad)} of {len(rows)} rows hold no request, such as {first}", "correct these rows")


def _submitted(row: ManifestRow) -> str:
    """The id of the row's run, old or new; empty where the row holds no request."""
    if row.request is None:
        return ""
    run = run_deployment(
        _DEPLOYMENT,
        parameters={"request": row.request.model_dump(mode="json")},
        idempotency_key=row.key,
        work_queue_name=_QUEUE,
        timeout=0,
        as_subflow=False,
    )
    return str(cast(FlowRun, run).id)
