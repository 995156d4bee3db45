"""The inputs of a movie in its content credentials: their names, their hashes, and the credentials that they bring."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import c2pa

from lipsync_core.apart import read_apart
from lipsync_core.provenance.context import context, media_type

Relationship = Literal["parentOf", "componentOf"]
#: What an input's own credentials say of it: there are none, it is as it was signed, or it is not.
SourceState = Literal["none", "valid", "altered"]


@dataclass(frozen=True, slots=True)
class Input:
    """A file that a movie is made from."""

    path: Path
    title: str  # a name without folders
    sha256: str
    label: str  # by which actions refer to it
    relationship: Relationship


@dataclass(frozen=True, slots=True)
class Ingredient:
    """An input as content credentials take it."""

    archive: bytes  # of C2PA; empty where the library does not read such files, or not this one
    state: SourceState


@read_apart
def ingredient_of(path: Path, title: str, sha256: str, label: str, relationship: str) -> Ingredient:
    """The file at `path` with the credentials that it brings; see `Input`."""
    described = {"title": title, "relationship": relationship, "label": label, "instance_id": instance_id(sha256)}
    rules, kind = context(), media_type(path)
    if kind is None:
        return Ingredient(b"", "none")
    try:
        builder = c2pa.Builder({"claim_generator_info": [{"name": label}]}, rules)
        with path.open("rb") as file:
            builder.add_ingredient(described, kind, file)
        archive = io.BytesIO()
        builder.write_ingredient_archive(label, archive)
        return Ingredient(archive.getvalue(), _state(path, kind, rules))
    except c2pa.C2paError:  # the library does not take a file that FFmpeg reads
        return Ingredient(b"", "none")


def instance_id(sha256: str) -> str:
    """The name of a file's content, by which two movies from one source can be told to be so."""
    return f"sha256:{sha256}"


def _state(path: Path, kind: str, rules: c2pa.Context) -> SourceState:
    with path.open("rb") as file:
        reader = c2pa.Reader.try_create(kind, file, context=rules)
        if reader is None:
            return "none"
        return "altered" if reader.get_validation_state() == "Invalid" else "valid"


def bare_ingredient(given: Input) -> str:
    """An input without an archive, as the manifest's definition takes it."""
    return json.dumps(
        {
            "title": given.title,
            "relationship": given.relationship,
            "label": given.label,
            "instance_id": instance_id(given.sha256),
        }
    )
