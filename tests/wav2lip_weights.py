"""Stand-ins for Wav2Lip's licensed weights: made from a seed by the tests, or those of the golden outputs."""

import importlib.util
import shutil
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.onnx_session import OnnxModel
from lipsync_core.workspace import Workspace
from tests.made_once import made_once
from tests.shared_files import GOLDEN

#: The inputs of the network inside an imported file, in float32.
INNER_INPUTS = ("network/mel_spectrogram", "network/video_frames")
needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "onnxscript")),
    reason="the torch extra is not installed",
)


def seeded_tensors(prefix: str = "") -> dict[str, Any]:
    """The torch tensors of a checkpoint, `prefix` before every name; each follows from its name and shape."""
    import torch

    return {prefix + name: torch.from_numpy(array.copy()) for name, array in _seeded_arrays().items()}


def seeded_inputs(batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(B, 1, 80, 16) mel chunks in -4..4 and (B, 6, 96, 96) faces in 0..1, the lower half of the first three hidden."""
    draw = np.random.RandomState(batch)
    crops = draw.uniform(0.0, 1.0, (batch, 3, 96, 96)).astype(np.float32)
    hidden = crops.copy()
    hidden[:, :, 48:] = 0.0
    return draw.uniform(-4.0, 4.0, (batch, 1, 80, 16)).astype(np.float32), np.concatenate([hidden, crops], axis=1)


def seeded_pictures(batch: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(B, 80, 16) mel chunks in -4..4 and (B, 96, 96, 3) crops in RGB."""
    draw = np.random.RandomState(batch)
    mel = draw.uniform(-4.0, 4.0, (batch, 80, 16)).astype(np.float32)
    return mel, draw.randint(0, 256, (batch, 96, 96, 3)).astype(np.uint8)


def torch_output(mel: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, 3, 96, 96) the pictures that torch computes with `seeded_tensors`."""
    import torch

    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    network = Wav2LipTorch().eval()
    network.load_state_dict(seeded_tensors())
    with torch.inference_mode():
        output: NDArray[np.float32] = network(torch.from_numpy(mel), torch.from_numpy(faces)).numpy()
    return output


def golden_weights() -> ModuleType:
    """The module that makes the weights and inputs of the golden outputs."""
    spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "seeded_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden_tensors() -> dict[str, Any]:
    """The torch tensors with which the golden outputs were computed."""
    import torch

    arrays = golden_weights().seeded_state_dict()
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def imported_wav2lip(folders: pytest.TempPathFactory) -> Path:
    """An ONNX file that the test run imports once from a checkpoint of seeded weights; tests only read it."""
    return made_once(folders, "wav2lip.onnx", import_seeded_wav2lip)


def import_seeded_wav2lip(target: Path) -> None:
    """Import a checkpoint of seeded weights to the ONNX file `target`."""
    import torch

    from lipsync_core.export.importing import import_wav2lip

    with TemporaryDirectory(dir=target.parent) as folder:
        checkpoint = Path(folder) / "seeded.pth"
        torch.save({"state_dict": seeded_tensors("module.")}, checkpoint)
        import_wav2lip(checkpoint, target)


def bare_output(path: Path, mel: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, 3, rows, 96) the output of the network inside an imported file, for numbers that no bytes hold."""
    import onnx

    with TemporaryDirectory() as folder:  # other processes use the file's own folder
        bare = Path(folder) / "bare.onnx"
        onnx.utils.extract_model(path, bare, list(INNER_INPUTS), ["mouth"], check_model=False)
        (mouths,) = OnnxModel(bare, threads=1).run(dict(zip(INNER_INPUTS, (mel, faces), strict=True)))
    return mouths


def home_with(network: Path, folder: Path, is_whole: bool = False) -> Workspace:
    """The user's models of face and speech, and `network` as `wav2lip`, its licence accepted."""
    workspace = Workspace.below(folder)
    for name in ("mediapipe-face", "speech-encoder"):
        shutil.copytree(Workspace.default().models / name, workspace.models / name)
    ModelInstaller(ModelStore(workspace.models)).import_file("wav2lip", network, accept_licence=True, is_whole=is_whole)
    return workspace


@cache
def _seeded_arrays() -> dict[str, NDArray[Any]]:
    import torch

    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    with torch.device("meta"):  # shapes alone
        shapes = {name: tuple(value.shape) for name, value in Wav2LipTorch().state_dict().items()}
    return {name: _seeded_array(name, shape) for name, shape in shapes.items()}


def _seeded_array(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Weights that keep activations of about 1 through all layers."""
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) > 1:
        limit = (3.6 / np.prod(shape[1:])) ** 0.5
        return draw.uniform(-limit, limit, shape).astype(np.float32)
    middle = 1.0 if name.endswith(("weight", "running_var")) else 0.0
    return (middle + draw.uniform(-0.2, 0.2, shape)).astype(np.float32)
