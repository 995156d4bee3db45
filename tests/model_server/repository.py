"""Model repositories for Triton's Python backend, made of what the product writes for its ONNX Runtime backend."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from lipsync_core.generators.wav2lip_onnx import CROPS, CROPS_SHAPE, MEL, MEL_SHAPE, PATCH_SHAPE, PATCHES
from lipsync_core.network import TensorSpec
from lipsync_core.serving.config import config_text
from lipsync_core.serving.identity import ServedIdentity
from tests.model_server.backend.timed import HELD

_BACKEND = Path(__file__).parent / "backend"
IDENTITY = ServedIdentity("wav2lip", "1", "test", "0123456789abcdef" * 4)


def write_stand_in(repository: Path) -> Path:
    """Write `wav2lip` with a GPU's timing into the folder `repository`; the model's folder."""
    model = repository / IDENTITY.model
    (model / "1").mkdir(parents=True)
    crops = TensorSpec(CROPS, (None, *CROPS_SHAPE), "tensor(uint8)")
    mel = TensorSpec(MEL, (None, *MEL_SHAPE[1:]), "tensor(float)")
    outputs = (TensorSpec(PATCHES, (None, *PATCH_SHAPE), "tensor(uint8)"),)
    (model / "config.pbtxt").write_text(config_text(IDENTITY, (crops, mel), outputs, "cpu"), encoding="utf-8")
    serve_by_python(model, "timed")
    return model


def serve_by_python(model: Path, network: str) -> None:
    """Have the exported `model` (a folder with its config.pbtxt) run by `network`, a module of `backend/`.

    All else stays as the product wrote it: names, shapes, batching, queue and identity.
    """
    version = model / "1"
    shutil.copy(_BACKEND / "model.py", version)
    shutil.copy(_BACKEND / f"{network}.py", version / "network.py")
    with changed_config(model) as config:
        config.backend = "python"


def serve_network(model: Path, network: Path) -> None:
    """Have the stand-in `model` run the ONNX file `network` on the CPU instead."""
    shutil.copy(network, model / "1" / "model.onnx")
    serve_by_python(model, "onnx_file")


@contextmanager
def changed_config(model: Path) -> Iterator[Any]:
    """The configuration of `model`, to be changed within the block."""
    file = model / "config.pbtxt"
    config = text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    yield config
    file.write_text(text_format.MessageToString(config), encoding="utf-8")


@contextmanager
def held(model: Path) -> Iterator[None]:
    """Let no run of the timed stand-in end within the block."""
    file = model / "1" / HELD
    file.touch()
    try:
        yield
    finally:
        file.unlink()
