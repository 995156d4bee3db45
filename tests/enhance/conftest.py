"""A face in a picture, and networks in GFPGAN's format whose result on it is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from lipsync_core.enhance.alignment import FACE_PX
from lipsync_core.enhance.gfpgan_network import GfpganNetwork

#: y = factor * x on GFPGAN's own scale of -1..1: -1 is the negative, 1 the picture itself.
MakeNetwork = Callable[[float], GfpganNetwork]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scene:
    """A region with a face."""

    pixels: NDArray[np.uint8]  # (h, w, 3) RGB
    points: NDArray[np.float32]  # (5, 2)
    mask: NDArray[np.float32]  # (h, w) an ellipse around mouth and chin, soft at its edge, 0 outside


@pytest.fixture(scope="session")
def scene() -> Scene:
    """The astronaut's face, 250 x 210; her points were read off the picture."""
    pixels = np.ascontiguousarray(data.astronaut()[0:250, 120:330])
    points = np.array([[83, 101], [127, 102], [107, 126], [85, 140], [123, 140]], np.float32)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    reach = np.hypot((x - 105) / 38.0, (y - 150) / 28.0)
    return Scene(pixels, points, np.clip((1.0 - reach) * 4.0, 0.0, 1.0).astype(np.float32))


@pytest.fixture(scope="session")
def make_network(tmp_path_factory: pytest.TempPathFactory) -> MakeNetwork:
    folder = tmp_path_factory.mktemp("networks")

    def make(factor: float) -> GfpganNetwork:
        return GfpganNetwork(write_scaling_network(folder / f"by {factor}.onnx", factor), threads=1)

    return make


def write_scaling_network(
    path: Path, factor: float, shape: tuple[int, ...] = (1, 3, FACE_PX, FACE_PX), first_row: int = 0
) -> Path:
    """An ONNX file of y = factor * x on arrays of `shape`, without the rows above `first_row`."""
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
    # Not the newest of each, which the newest onnx would write and an older runtime refuse.
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path
