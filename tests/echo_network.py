"""A network in Wav2Lip's format that gives its crop back, so any other change of a picture is the product's own."""

from pathlib import Path

import pytest

FIRST_ROW, FACE_PX = 43, 96


def write_echo(path: Path, first_row: int = FIRST_ROW) -> Path:
    """Write an ONNX file that gives the rows from `first_row` on of its reference crop, for any sound."""
    onnx = pytest.importorskip("onnx", reason="the torch extra is not installed")
    make, floats, numbers = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    cut = {"starts": [3, first_row], "ends": [6, FACE_PX], "axes": [1, 2]}
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Slice", ["video_frames", *cut], ["reference"]),
            node("ReduceMean", ["mel_spectrogram"], ["level"], keepdims=0),
            node("Sub", ["level", "level"], ["nothing"]),
            node("Add", ["reference", "nothing"], ["mouths"]),
        ],
        "echo",
        [make("mel_spectrogram", floats, ["B", 1, 80, 16]), make("video_frames", floats, ["B", 6, FACE_PX, FACE_PX])],
        [make("mouths", floats, ["B", 3, FACE_PX - first_row, FACE_PX])],
        [onnx.helper.make_tensor(name, numbers, [2], values) for name, values in cut.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path
