"""Lip-sync a video to an audio track: `lip_sync(video, audio, output)`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipsync_core.errors import LipSyncError
    from lipsync_core.execution import Execution
    from lipsync_core.options import JobOptions
    from lipsync_core.pipeline import lip_sync
    from lipsync_core.report import JobReport, Progress
    from lipsync_core.workspace import Workspace

__all__ = ["Execution", "JobOptions", "JobReport", "LipSyncError", "Progress", "Workspace", "lip_sync"]

_HOMES = {
    "Execution": "execution",
    "JobOptions": "options",
    "JobReport": "report",
    "LipSyncError": "errors",
    "Progress": "report",
    "Workspace": "workspace",
    "lip_sync": "pipeline",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `lipsync_core.errors` costs no OpenCV and no FFmpeg."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
