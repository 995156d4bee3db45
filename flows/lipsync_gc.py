"""Cleans the service: removes what is no longer needed from its storage and its ledger, each day by default."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from lipsync_core.errors import LipSyncError
from lipsync_service.names import GC_FLOW
from lipsync_service.settings import load_settings
from tasks.cleaning import clean_service, show_cleaning
from tasks.handover import failed_state
from tasks.stages import unscanned

_DryRun = Annotated[bool, Field(title="Dry run", description="Remove nothing; say what would go, and how much.")]


@flow(name=GC_FLOW, persist_result=False, validate_parameters=True)
def lipsync_gc(dry_run: _DryRun = False) -> State[Any] | None:
    """Remove what is too old or beyond the quota, never what a job uses that has not ended.

    The artifact `cleaned` shows the figures of each kind.
    """
    try:
        show_cleaning(clean_service(unscanned(load_settings()), dry_run))
    except LipSyncError as error:
        return failed_state(error)
    return None
