"""The limits and the tenants of the service's workers, as the last one of a pool has told them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipsync_service.tenants import TenantName


class WorkerRules(BaseModel):
    """Of the worker that started last in its pool; those of other hosts may differ."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    since: datetime
    limits: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")], float]
    http_ports: tuple[int, ...]
    http_allowed_addresses: tuple[str, ...]  # those of the allowed hosts that are addresses and no names
    tenants: tuple[TenantName, ...] | None  # None: too many to tell


def rules_from(value: Any) -> WorkerRules | None:
    """The rules that a variable of Prefect's holds; None where it is from another version, or from elsewhere."""
    try:
        return WorkerRules.model_validate(value)
    except ValidationError:
        return None
