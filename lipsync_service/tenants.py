"""The tenants of a service: the customers whose files are kept apart."""

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lipsync_core.errors import OptionError

#: The name of a tenant; it becomes the name of a folder.
TenantName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


def require_tenant(tenant: str | None, known: Collection[str]) -> None:
    """Raise OptionError where the service does not know the tenant, or has tenants and none is named."""
    if tenant is not None and tenant not in known:
        raise OptionError(f"the service knows no tenant {tenant}", "name one of LIPSYNC_TENANTS")
    if tenant is None and known:
        raise OptionError("the request names no tenant, and this service has tenants", "name one of them")


class TenantReach(BaseModel):
    """What the jobs of one tenant may read and write: beginnings of addresses, s3://BUCKET/PREFIX or file:///FOLDER."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @field_validator("read", "write")
    @classmethod
    def _are_of_storage(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if not re.fullmatch(r"s3://[^/]+(/.*)?|file:///.+", prefix):
                raise ValueError(f"{prefix} is neither s3://BUCKET/PREFIX nor file:///FOLDER")
        return value
