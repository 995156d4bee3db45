"""A network with each operator that multiplies by weights, and with operators that only compute shapes."""

from pathlib import Path

import numpy as np
import pytest

CHANNELS = 3


def write_weighted_network(path: Path) -> Path:
    """Write an ONNX file that takes `x`, (B, 3, 512, 512), and gives (B, 3) of it."""
    onnx = pytest.importorskip("onnx", reason="onnx, which writes the networks of these tests, is not installed")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    kernel, matrix = np.ones((CHANNELS, CHANNELS, 1, 1), np.float32), np.eye(CHANNELS, dtype=np.float32)
    numbers = {"kernel": kernel, "back": kernel, "matrix": matrix, "other": matrix}
    nodes = [
        make.make_node("Conv", ["x", "kernel"], ["convolved"]),
        make.make_node("ConvTranspose", ["convolved", "back"], ["transposed"]),
        make.make_node("GlobalAveragePool", ["transposed"], ["means"]),
        make.make_node("Flatten", ["means"], ["flat"]),
        make.make_node("Gemm", ["flat", "matrix"], ["mixed"]),
        make.make_node("Sigmoid", ["mixed"], ["bent"]),  # keeps the products before and after it apart
        make.make_node("MatMul", ["bent", "other"], ["product"]),
        make.make_node("Shape", ["flat"], ["sizes"]),
        make.make_node("Reshape", ["product", "sizes"], ["y"]),
    ]
    inputs = [make.make_tensor_value_info("x", kind, ["B", CHANNELS, 512, 512])]
    outputs = [make.make_tensor_value_info("y", kind, None)]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in numbers.items()]
    graph = make.make_graph(nodes, "weighted", inputs, outputs, constants)
    # By default onnx writes its newest versions, which an older runtime would refuse.
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path
