"""A network in GFPGAN's format whose result is known for every picture."""

from pathlib import Path

import numpy as np
import pytest

from lipsync_core.enhance.alignment import FACE_PX


def write_scaling_network(
    path: Path, factor: float, shape: tuple[int, ...] = (1, 3, FACE_PX, FACE_PX), first_row: int = 0
) -> Path:
    """Write an ONNX file of y = factor * x on arrays of `shape`, without the rows above `first_row`."""
    onnx = pytest.importorskip("onnx", reason="onnx, which writes the networks of these tests, is not installed")
    make = onnx.helper
    numbers = {"factor": np.float32(factor), "start": np.array([first_row]), "end": np.array([FACE_PX])}
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    constants.append(onnx.numpy_helper.from_array(np.array([2]), "axis"))
    nodes = [
        make.make_node("Mul", ["x", "factor"], ["scaled"]),
        make.make_node("Slice", ["scaled", "start", "end", "axis"], ["y"]),
    ]
    kind = onnx.TensorProto.FLOAT
    inputs, outputs = (make.make_tensor_value_info(name, kind, size) for name, size in (("x", shape), ("y", None)))
    graph = make.make_graph(nodes, "scaling", [inputs], [outputs], constants)
    # By default onnx writes its newest versions, which an older runtime would refuse.
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path
