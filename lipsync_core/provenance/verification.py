"""Reads back what a file says of itself, and whether it is still as it was signed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import c2pa

from lipsync_core.apart import read_apart
from lipsync_core.errors import InputMissingError
from lipsync_core.provenance.context import context, media_type
from lipsync_core.provenance.xmp import digital_source_type
from lipsync_core.structure.boxes import Box, whole

#: Whether there are content credentials, and whether the file is as they say: "trusted" where the signer's authority is
#: known here, "intact" where it is not.
State = Literal["none", "altered", "intact", "trusted"]
_STATES: dict[str, State] = {"Invalid": "altered", "Valid": "intact", "Trusted": "trusted"}
_LABEL, _BEGINNING_BYTES = b"c2pa", 4 << 20  # what the credentials of a movie contain, and where they stand
#: How a store of manifests begins (JUMBF, ISO/IEC 19566-5), and within how many bytes of its box: behind a UUID, a
#: version, a purpose and an offset (C2PA 2.2, A.5.1).
_MANIFEST_STORE, _BOX_HEAD_BYTES = b"jumdc2pa", 64
_BOX_OF_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_PURPOSE_AT, _PURPOSES = 20, (b"manifest\0", b"original\0", b"update\0", b"merkle\0")
#: Boxes at the top of a file whose content the library's hash leaves out, as its assertion says ("exclusions").
_UNCOVERED = frozenset({b"free", b"skip", b"mfra"})
_UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done to a movie."""

    name: str  # C2PA's, as "c2pa.edited"
    when: str  # as the signer's clock told it
    agent: str  # software, with its version
    digital_source_type: str
    description: str
    parameters: tuple[tuple[str, str], ...]  # the product's own, such as ("lipsync.model", "viseme/2")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a movie was made from."""

    title: str
    relationship: str
    instance_id: str  # "sha256:..." of its bytes, where this product has written it
    state: str  # of its own credentials: none, valid or altered


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file says of itself."""

    state: State
    problems: tuple[tuple[str, str], ...]  # C2PA's codes, and explanations
    title: str
    generator: str  # the software that has written the credentials
    signer: str  # organisation and common name of the certificate
    signed_at: str  # by a time stamp server; empty without one
    actions: tuple[Action, ...]
    sources: tuple[Source, ...]
    xmp_source_type: str | None  # IPTC's
    uncovered_bytes: int = 0  # in boxes that no signature covers, where anybody may have put them


@read_apart
def verification_of(path: Path, trusted_pem: str = "") -> Verification:
    """What the file at `path` says of itself; signers issued by one of `trusted_pem` are trusted.

    Raises:
        InputMissingError: it cannot be read.
    """
    try:
        kind = media_type(path)
        xmp = digital_source_type(path)
        reader = _reader(path, kind, trusted_pem)
    except OSError as exc:
        raise InputMissingError(
            f"{path} cannot be read: {exc.strerror}", "name a file that this user may read"
        ) from exc
    if isinstance(reader, c2pa.C2paError) and not _seems_signed(path):
        reader = None
    if reader is None and _holds_manifest(path):
        problem = ("claim.missing", "the content credentials lie where no reader looks for them")
        return Verification("altered", (problem,), "", "", "", "", (), (), xmp)
    if isinstance(reader, c2pa.C2paError):
        problem = ("claim.unreadable", " ".join(str(reader).split()))
        return Verification("altered", (problem,), "", "", "", "", (), (), xmp)
    if reader is None:
        return Verification("none", (), "", "", "", "", (), (), xmp)
    return _told(reader, xmp, _uncovered_bytes(path))


def _reader(path: Path, kind: str | None, trusted_pem: str) -> c2pa.Reader | c2pa.C2paError | None:
    if kind is None:
        return None
    with path.open("rb") as file:
        try:
            return c2pa.Reader.try_create(kind, file, context=context(trusted_pem))
        except c2pa.C2paError as error:
            return error


def _seems_signed(path: Path) -> bool:
    """Whether a file that cannot be read to its end begins with content credentials, or with a part of them."""
    with path.open("rb") as file:
        return _LABEL in file.read(_BEGINNING_BYTES)


def _holds_manifest(path: Path) -> bool:
    """Whether a box at the top of the file holds content credentials, whatever it is called.

    Those of a cover image lie deeper, and are not the movie's.
    """
    with path.open("rb") as file:
        boxes = whole(file, path.stat().st_size).children()
        return any(_MANIFEST_STORE in box.content(0, _BOX_HEAD_BYTES) for box in boxes)


def _uncovered_bytes(path: Path) -> int:
    with path.open("rb") as file:
        boxes = whole(file, path.stat().st_size).children()
        return sum(box.end - box.start for number, box in enumerate(boxes) if _is_uncovered(box, is_first=number == 0))


def _is_uncovered(box: Box, *, is_first: bool) -> bool:
    if box.name == b"uuid" and box.content(0, len(_BOX_OF_C2PA)) == _BOX_OF_C2PA:
        return not box.content(_PURPOSE_AT, 9).startswith(_PURPOSES)  # the library looks at no others
    return box.name in _UNCOVERED or (box.name == b"ftyp" and not is_first)


def _told(reader: c2pa.Reader, xmp: str | None, uncovered_bytes: int) -> Verification:
    store = json.loads(reader.json())
    manifest = store["manifests"][store["active_manifest"]]
    failures = reader.get_validation_results() or {}
    signature = manifest.get("signature_info", {})
    return Verification(
        state=_STATES.get(reader.get_validation_state() or "", "altered"),
        problems=tuple(_problems(failures)),
        title=manifest.get("title", ""),
        generator=_agent(next(iter(manifest.get("claim_generator_info", [])), {})),
        signer=", ".join(signature[name] for name in ("issuer", "common_name") if signature.get(name)),
        signed_at=signature.get("time", ""),
        actions=tuple(_action(each) for each in _actions(manifest)),
        sources=tuple(_source(each) for each in manifest.get("ingredients", [])),
        xmp_source_type=xmp,
        uncovered_bytes=uncovered_bytes,
    )


def _problems(results: dict[str, Any]) -> list[tuple[str, str]]:
    found = results.get("activeManifest", {}).get("failure", [])
    return [(each["code"], each.get("explanation", "")) for each in found if each["code"] != _UNTRUSTED]


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    told = (each["data"] for each in manifest.get("assertions", []) if each["label"].startswith("c2pa.actions"))
    return [action for each in told for action in each.get("actions", [])]


def _action(action: dict[str, Any]) -> Action:
    parameters = action.get("parameters") or {}
    return Action(
        name=action.get("action", ""),
        when=action.get("when", ""),
        agent=_agent(action.get("softwareAgent") or {}),
        digital_source_type=action.get("digitalSourceType", ""),
        description=action.get("description", ""),
        parameters=tuple((name, str(value)) for name, value in parameters.items() if isinstance(value, str | int)),
    )


def _agent(agent: object) -> str:
    if not isinstance(agent, dict):
        return str(agent)
    return " ".join(str(agent[name]) for name in ("name", "version") if agent.get(name))


def _source(ingredient: dict[str, Any]) -> Source:
    results = ingredient.get("validation_results", {}).get("activeManifest")
    has_failed = any(each["code"] != _UNTRUSTED for each in (results or {}).get("failure", []))
    state = "none" if results is None else "altered" if has_failed else "valid"
    return Source(
        title=ingredient.get("title", ""),
        relationship=ingredient.get("relationship", ""),
        instance_id=ingredient.get("instance_id", ""),
        state=state,
    )
