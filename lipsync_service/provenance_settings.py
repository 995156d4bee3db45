"""Whether results are signed, and by whom: a part of the service's settings."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from lipsync_core.provenance.settings import SigningSettings


class ProvenanceSettings(BaseModel):
    """The variables LIPSYNC_PROVENANCE and LIPSYNC_SIGNING_*."""

    provenance: Literal["optional", "required"] = Field(
        "optional",
        description="required: requests may not leave the signature out, and no result is delivered without one.",
    )
    signing_certificate: Path | None = Field(
        None, description="The certificate that signs results, PEM, with those above it. Unset: a self-made one."
    )
    signing_key: SecretStr | None = Field(
        None, description="Its key: the path of a PEM file, the PEM text, or a PKCS#11 URI (pkcs11:...)."
    )
    signing_timestamp_url: str | None = Field(
        None, description="A time stamp server (RFC 3161) that confirms when a result was signed."
    )

    @field_validator("provenance", mode="before")
    @classmethod
    def _empty_is_optional(cls, value: object) -> object:
        return "optional" if value == "" else value

    @field_validator("signing_certificate", "signing_key", "signing_timestamp_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def signing(self) -> SigningSettings:
        """Who signs the results of this host."""
        key = self.signing_key.get_secret_value() if self.signing_key else None
        return SigningSettings(self.signing_certificate, key, self.signing_timestamp_url)
