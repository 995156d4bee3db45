"""Models: the list of known ones (`registry`), the folder of installed ones (`store`), their licences (`licence`)."""

from lipsync_core.models.registry import ModelEntry, find_model, registered_models
from lipsync_core.models.store import ModelStatus, ModelStore

__all__ = ["ModelEntry", "ModelStatus", "ModelStore", "find_model", "registered_models"]
