"""The constants of an ONNX file, against the ONNX package's own reader."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipsync_core.audio.onnx_tensors import constant_tensors
from lipsync_core.errors import ModelCorruptError
from lipsync_core.models.store import ModelStore


def write_model(path: Path, tensors: list[TensorProto]) -> Path:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [output], [output], tensors)
    onnx.save(helper.make_model(graph), str(path))
    return path


def test_constants_of_every_form_are_read(tmp_path: Path) -> None:
    floats = np.linspace(-1, 1, 300, dtype=np.float32).reshape(3, 100)
    tensors = [
        numpy_helper.from_array(floats, "raw"),
        helper.make_tensor("listed", TensorProto.FLOAT, floats.shape, floats.ravel()),
        numpy_helper.from_array(np.arange(-128, 128).astype(np.int8), "bytes"),
        numpy_helper.from_array(np.array([-(2**31), 7], np.int32), "integers"),
        numpy_helper.from_array(np.float32(2.5), "number"),
    ]
    read = constant_tensors(write_model(tmp_path / "a.onnx", tensors))
    assert list(read) == ["raw", "listed", "bytes", "integers", "number"]
    for tensor in tensors:
        wanted = numpy_helper.to_array(tensor)
        assert read[tensor.name].dtype == wanted.dtype
        np.testing.assert_array_equal(read[tensor.name], wanted)


def test_constants_of_other_types_are_left_out(tmp_path: Path) -> None:
    tensors = [numpy_helper.from_array(np.arange(3), "int64"), numpy_helper.from_array(np.ones(2, bool), "bool")]
    assert constant_tensors(write_model(tmp_path / "a.onnx", tensors)) == {}


def test_the_encoders_constants_are_those_of_the_onnx_package(model_store: ModelStore) -> None:
    path = model_store.verify("speech-encoder").path("encoder")
    wanted = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    read = constant_tensors(path)
    assert len(read) > 150
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor, wanted[name], err_msg=name)


@pytest.mark.parametrize("content", [b"\x3a\xff", b"not a model at all", b"\x3a\x05\x2a\x7f\x01\x02\x03", b"\x38\x01"])
def test_reading_fails_when_the_file_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ModelCorruptError, match=r"a\.onnx cannot be read"):
        constant_tensors(tmp_path / "a.onnx")


def test_reading_fails_when_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelCorruptError, match="cannot be read"):
        constant_tensors(tmp_path / "a.onnx")
