"""Opening and running networks: their inputs and outputs, and every kind of failure."""

from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError, OptionError
from lipsync_core.onnx_session import OnnxModel
from tests.scrfd_network import write_scrfd_network


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A network of nine outputs that takes pictures of any size."""
    return write_scrfd_network(tmp_path / "detector.onnx")


def test_a_model_says_what_it_takes_and_runs(detector: Path) -> None:
    model = OnnxModel(detector, threads=1)
    (image,) = model.inputs
    assert image.shape[1] == 3
    assert image.shape[2:] == (None, None)
    outputs = model.run({image.name: np.zeros((1, 3, 64, 64), np.float32)})
    assert len(outputs) == len(model.outputs)
    assert all(np.isfinite(array).all() for array in outputs)


def test_running_fails_when_the_input_does_not_fit(detector: Path) -> None:
    model = OnnxModel(detector, threads=1)
    with pytest.raises(ModelError, match=r"fails on .*\(3, 64, 64\)") as caught:
        model.run({model.inputs[0].name: np.zeros((3, 64, 64), np.float32)})
    assert "\n" not in str(caught.value)


def test_opening_fails_when_the_provider_is_not_there(detector: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(OptionError, match="no cuda provider"):
        OnnxModel(detector, "cuda")


def test_opening_fails_when_there_is_no_file(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(ModelMissingError, match="no model file"):
            OnnxModel(absent)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\x0a\x12\x7fpyt"])
def test_opening_fails_when_the_file_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelCorruptError, match=r"broken\.onnx") as caught:
        OnnxModel(path)
    assert "\n" not in str(caught.value)


def test_opening_fails_when_the_file_is_cut_short(detector: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(detector.read_bytes()[:-100])
    with pytest.raises(ModelCorruptError, match=r"cut\.onnx"):
        OnnxModel(path)
