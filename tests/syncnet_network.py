"""A network in SyncNet's format whose result is known for every window."""

from pathlib import Path

import numpy as np
import pytest

SOUND = (1, 13, 20)
PICTURES = (3, 5, 224, 224)


def write_syncnet_network(path: Path, factor: float = 1.0, pictures: tuple[int, ...] = PICTURES) -> Path:
    """Write an ONNX file that gives `factor` times the mean of the cepstrum, and of each picture, at five moments."""
    onnx = pytest.importorskip("onnx", reason="onnx, which writes the networks of these tests, is not installed")
    make = onnx.helper
    moments = np.repeat(np.eye(5, dtype=np.float32), 4, axis=0) / 4  # (20, 5)
    numbers = {"moments": moments, "axis": np.array([1]), "factor": np.float32(factor)}
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    nodes = [
        make.make_node("ReduceMean", ["cepstra"], ["rows"], axes=[1, 2], keepdims=0),
        make.make_node("MatMul", ["rows", "moments"], ["sound"]),
        make.make_node("ReduceMean", ["faces"], ["lips"], axes=[1, 3, 4], keepdims=0),
        make.make_node("Unsqueeze", ["sound", "axis"], ["first"]),
        make.make_node("Unsqueeze", ["lips", "axis"], ["second"]),
        make.make_node("Concat", ["first", "second"], ["both"], axis=1),
        make.make_node("Mul", ["both", "factor"], ["embeddings"]),
    ]
    kind = onnx.TensorProto.FLOAT
    sizes = {"cepstra": ("batch", *SOUND), "faces": ("batch", *pictures)}
    inputs = [make.make_tensor_value_info(name, kind, shape) for name, shape in sizes.items()]
    output = make.make_tensor_value_info("embeddings", kind, ("batch", 2, 5))
    graph = make.make_graph(nodes, "syncnet", inputs, [output], constants)
    # By default onnx writes its newest versions, which an older runtime would refuse.
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path
