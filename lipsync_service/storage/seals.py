"""The seal in an address: a reference to a secret part of it, which lies in the service's storage."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_SEAL = re.compile(r"sealed=([0-9a-f]{64})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Seal:
    """Whose secret it is, and where it lies."""

    digest: str  # of the whole request, with its secrets
    name: str  # of the file

    def __str__(self) -> str:
        """The fragment of a sealed address."""
        return f"sealed={self.digest}.{self.name}"


def seal_of(url: str) -> Seal | None:
    """The seal of an address; None where it has none."""
    try:
        found = _SEAL.fullmatch(urlsplit(url).fragment)
    except ValueError:
        return None
    return Seal(found[1], found[2]) if found else None
