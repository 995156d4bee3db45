"""Models: the list of known ones (`registry`), the folder of installed ones (`store`), their licences (`licence`)."""

from lipsync_core.models.registry import ModelEntry, registered_models
from lipsync_core.models.store import InstalledModel, ModelStatus, ModelStore

__all__ = ["InstalledModel", "ModelEntry", "ModelStatus", "ModelStore", "registered_models"]
