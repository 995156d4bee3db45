"""Models: what they are (`registry`), where they are installed (`store`), what their licences ask for (`licence`)."""

from lipsync_core.models.registry import ModelEntry, registered_models
from lipsync_core.models.store import InstalledModel, ModelStatus, ModelStore

__all__ = ["InstalledModel", "ModelEntry", "ModelStatus", "ModelStore", "registered_models"]
