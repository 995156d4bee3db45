"""The tenants of a service: the customers whose files are kept apart."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

#: The name of a tenant; it becomes the name of a folder.
TenantName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


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
