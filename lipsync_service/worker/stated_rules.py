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
from lipsync_service.storage.url import is_numeric

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_MOST_NAMED = 50  # Prefect keeps 5000 characters of a variable

_log = logging.getLogger(__name__)


def rules_of(settings: Settings) -> dict[str, Any]:
    """What `lipsync_service.client.rules.WorkerRules` reads."""
    return {
        "host": socket.gethostname()[:64],
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "limits": asdict(settings.limits),
        "http_ports": list(settings.http_ports),
        "http_allowed_addresses": [each for each in settings.http_allowed_hosts if _is_address(each)][:_MOST_NAMED],
        "tenants": sorted(settings.tenants) if len(settings.tenants) <= _MOST_NAMED else None,
    }


def _is_address(host: str) -> bool:
    """Whether an entry of LIPSYNC_HTTP_ALLOWED_HOSTS is an address, perhaps with a port; names are told to nobody."""
    return "[" in host or is_numeric(host.partition(":")[0])


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
