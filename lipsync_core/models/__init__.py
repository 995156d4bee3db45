"""Models: what they are (`registry`), and where they are installed (`store`)."""

from lipsync_core.models.registry import ModelEntry, find_model, registered_models
from lipsync_core.models.store import ModelStatus, ModelStore

__all__ = ["ModelEntry", "ModelStatus", "ModelStore", "find_model", "registered_models"]
