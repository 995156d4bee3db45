"""Generators and trackers by the names that a user gives, and what `auto` means."""

from dataclasses import dataclass

from lipsync_core.blend.contract import Blender
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.errors import OptionError
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTracker
from lipsync_core.generators.contract import Generator
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.models.store import ModelStore

MODELS = ("auto", "viseme")
TRACKERS = ("auto", "mediapipe")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A generator and why it was chosen."""

    generator: Generator
    blender: Blender
    reason: str


def choose_model(name: str) -> ModelChoice:
    """The generator called `name`, with the blender that suits it.

    Raises:
        OptionError: there is none.
    """
    if name not in MODELS:
        raise OptionError(f"there is no model {name!r}", f"choose one of {', '.join(MODELS)}")
    reason = "the best that is installed" if name == "auto" else "asked for"
    return ModelChoice(VisemeGenerator(), FeatherBlender(), reason)


def choose_tracker(name: str, models: ModelStore, face: int | None) -> FaceTracker:
    """The tracker called `name`, following the `face`-th face from the left or (None) the largest.

    Raises:
        OptionError: there is none.
        ModelMissingError: its model is not installed.
    """
    if name not in TRACKERS:
        raise OptionError(f"there is no tracker {name!r}", f"choose one of {', '.join(TRACKERS)}")
    return MediapipeTracker(models, face)
