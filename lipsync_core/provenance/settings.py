"""Who signs the movies of this machine: the operator's certificate and key, or one made here."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SigningSettings:
    """The certificate, the key and the time stamp server of an operator; without them a self-made certificate signs.

    The key is the path of a PEM file, the PEM text itself, or a PKCS#11 URI (RFC 7512) of a key in a token.
    """

    certificate: Path | None = None  # PEM: the signer's own first, then those that have issued it
    key: str | None = field(default=None, repr=False)
    timestamp_url: str | None = None  # of a server of RFC 3161
