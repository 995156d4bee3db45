"""The limits and the tenants of the worker of a pool that started last, told to callers in a variable of Prefect's."""

import logging
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import PrefectException

from lipsync_service.names import rules_variable
from lipsync_service.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_MOST_TENANTS = 50  # Prefect keeps 5000 characters of a variable

_log = logging.getLogger(__name__)


def rules_of(settings: Settings) -> dict[str, Any]:
    """What `lipsync_service.client.rules.WorkerRules` reads."""
    return {
        "host": socket.gethostname()[:64],
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "limits": asdict(settings.limits),
        "tenants": sorted(settings.tenants) if len(settings.tenants) <= _MOST_TENANTS else None,
    }


async def state_rules(client: "PrefectClient", pool: str, settings: Settings) -> None:
    """Write them for callers; a job needs none of it, so a failure is only logged."""
    name, value = rules_variable(pool), rules_of(settings)
    try:
        if await client.read_variable_by_name(name) is None:
            await client.create_variable(VariableCreate(name=name, value=value))
        else:
            await client.update_variable(VariableUpdate(name=name, value=value))
    except (httpx.HTTPError, PrefectException) as exc:
        _log.info("the limits of this worker were not told: %s", exc)
