"""Many jobs from one manifest, each a run of its own in the queue `bulk`."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from lipsync_core.errors import LipSyncError
from lipsync_core.limits import limited
from lipsync_service.names import BULK_FLOW
from lipsync_service.settings import load_settings
from lipsync_service.tenants import TenantName
from tasks.bulk import fetch_manifest, show_rows, submit_manifest
from tasks.handover import failed_state
from tasks.sealed_request import hold_manifest
from tasks.stages import unscanned

_Manifest = Annotated[
    str, Field(title="Manifest", description="Address of a .csv or .jsonl file with a request in every row.")
]
_RetryFailed = Annotated[
    bool, Field(title="Retry failed", description="Run jobs of an earlier time again that failed or were cancelled.")
]
_Tenant = Annotated[
    TenantName | None, Field(title="Tenant", description="Whose jobs all rows are, on a service that has tenants.")
]


@flow(name=BULK_FLOW, persist_result=False, validate_parameters=True)
def lipsync_bulk(manifest: _Manifest, retry_failed: _RetryFailed = False, tenant: _Tenant = None) -> State[Any] | None:
    """Submit a job for every row of a manifest; running it again submits only rows that are new or changed.

    The artifact `submitted` shows the result of each row. The run fails where a row holds no request, after the others
    have been submitted; it does not wait for the jobs.
    """
    try:
        settings = load_settings()
        with limited(settings.limits):
            address = hold_manifest(settings, manifest, tenant, retry_failed)
            rows = fetch_manifest(unscanned(settings), unscanned(address), tenant)
        show_rows(submit_manifest(unscanned(settings), unscanned(rows), retry_failed))
    except LipSyncError as error:
        return failed_state(error)
    return None
