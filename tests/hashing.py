"""Counts the hashed bytes, so that a test notices a file that is hashed twice."""

import hashlib
from typing import Any

import pytest

from lipsync_core.models.stamp import CONTENT_KEY, SOURCE_KEY

#: The size of the seal at the end of an imported network; the network's hash leaves it out.
SEAL_BYTES = sum(len(key) + 64 + 6 for key in (SOURCE_KEY, CONTENT_KEY))


def count_hashed_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every block that is hashed from now on, in order, by whichever of hashlib's ways to a sha256."""
    lengths: list[int] = []
    sha256, new = hashlib.sha256, hashlib.new

    class Counting:
        def __init__(self, content: bytes = b"") -> None:
            self._digest = sha256()
            self.update(content)

        def update(self, content: bytes) -> None:
            lengths.append(len(content))
            self._digest.update(content)

        def hexdigest(self) -> str:
            return self._digest.hexdigest()

    def counting(name: str, content: bytes = b"") -> Any:
        return Counting(content) if name == "sha256" else new(name, content)

    monkeypatch.setattr(hashlib, "sha256", Counting)
    monkeypatch.setattr(hashlib, "new", counting)  # `file_digest` calls it
    return lengths
