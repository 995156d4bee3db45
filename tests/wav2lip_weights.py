"""Seeded stand-ins for Wav2Lip's licensed weights, from the golden vectors beside the repository."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden vectors: {GOLDEN} is absent")
needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "onnxscript")),
    reason="the torch extra is not installed",
)


def seeded_weights() -> ModuleType:
    """The module beside the golden vectors that makes weights and inputs."""
    spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seeded_tensors(prefix: str = "") -> dict[str, Any]:
    """The 352 torch tensors of a checkpoint, `prefix` before every name."""
    import torch

    arrays = seeded_weights().seeded_state_dict()
    return {prefix + name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def imported_wav2lip(folder: Path) -> Path:
    """An ONNX file in `folder`, imported from a checkpoint of seeded weights once and then found there."""
    import torch

    from lipsync_core.export.importing import import_wav2lip

    target = folder / "wav2lip.onnx"
    if not target.exists():
        checkpoint = folder / "seeded.pth"
        torch.save({"state_dict": seeded_tensors("module.")}, checkpoint)
        import_wav2lip(checkpoint, target)
        checkpoint.unlink()
    return target


def home_with(network: Path, folder: Path, is_whole: bool = False) -> Workspace:
    """The user's face models, and `network` as `wav2lip`, its licence accepted."""
    workspace = Workspace.below(folder)
    shutil.copytree(Workspace.default().models / "mediapipe-face", workspace.models / "mediapipe-face")
    ModelInstaller(ModelStore(workspace.models)).import_file("wav2lip", network, accept_licence=True, is_whole=is_whole)
    return workspace
