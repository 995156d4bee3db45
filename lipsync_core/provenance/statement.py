"""What a movie says of itself: a manifest of content credentials (C2PA 2.2), as its library takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

#: IPTC's name for a real picture into which a trained model has put something.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
PRODUCT = "lipsync"
VIDEO, AUDIO = "video", "audio"  # the inputs, as the actions call them


@dataclass(frozen=True, slots=True)
class Statement:
    """How a movie was made."""

    model: str  # name and version, as "viseme/2"
    model_licence: str
    model_sha256: str | None  # of its weights
    enhancer: str | None  # name, version and licence
    frames: int  # of the movie
    synced: int  # those whose mouth was moved


def product_version() -> str:
    """The version of this product."""
    return version(PRODUCT)


def manifest_of(statement: Statement, title: str, media_type: str) -> dict[str, Any]:
    """The manifest of a movie called `title`, whose inputs are its ingredients `VIDEO` and `AUDIO`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "claim_generator_info": [{"name": PRODUCT, "version": product_version()}],
        "title": title,
        "format": media_type,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [_timed(each, now) for each in _actions(statement)]}}
        ],
    }


def _actions(statement: Statement) -> list[dict[str, Any]]:
    name, _, version_of_model = statement.model.partition("/")
    moved: dict[str, Any] = {
        "action": "c2pa.edited",
        "description": "The mouth was made to speak the given sound.",
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": f"{PRODUCT} {name}", "version": version_of_model},
        "parameters": _parameters(statement),
    }
    enhanced = {
        "action": "c2pa.edited",
        "description": f"The new mouth was restored by {statement.enhancer}.",
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
    }
    return [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [VIDEO]}},
        {"action": "c2pa.placed", "parameters": {"ingredientIds": [AUDIO]}, "description": "The given sound."},
        moved,
        *([enhanced] if statement.enhancer else []),
        {"action": "c2pa.transcoded"},
    ]


def _parameters(statement: Statement) -> Mapping[str, Any]:
    weights = {"lipsync.weights_sha256": statement.model_sha256} if statement.model_sha256 else {}
    return {
        "lipsync.model": statement.model,
        "lipsync.model_licence": statement.model_licence,
        **weights,
        "lipsync.frames": statement.frames,
        "lipsync.frames_changed": statement.synced,
    }


def _timed(action: dict[str, Any], now: str) -> dict[str, Any]:
    return {**action, "when": now}
