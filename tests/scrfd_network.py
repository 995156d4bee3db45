"""A network in SCRFD's format that finds only the yellow faces of `drawn_faces`."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

FACE_PX = 160  # side of its boxes in its square input, and of the face in a picture of that size
PICTURE_PX = 320
_STRIDES_PX = (8, 16, 32)
_LOOKS = 32  # the stride of the only grid that finds faces
_POINTS_PX = ((-30, -30), (30, -30), (0, 5), (-25, 40), (25, 40))  # eyes, nose tip, mouth corners, around the middle
_YELLOW, _DARK, _GREY = (255, 220, 0), (40, 30, 30), (128, 128, 128)


def drawn_faces(count: int) -> list[NDArray[np.uint8]]:
    """Pictures of (320, 320, 3) RGB in which a drawn face goes to the right, one pixel a picture."""
    return [_drawn((150 + step, 165)) for step in range(count)]


def write_drawn_video(path: Path, count: int) -> Path:
    """`drawn_faces` as a video of 25 fps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = PICTURE_PX, PICTURE_PX, "yuv420p"
        for picture in drawn_faces(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_scrfd_network(path: Path) -> Path:
    """An ONNX file that gives a face wherever a window of `FACE_PX` is mostly yellow."""
    onnx = pytest.importorskip("onnx", reason="onnx, which writes the networks of these tests, is not installed")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    levels = [_level(make, stride_px) for stride_px in _STRIDES_PX]
    names = [f"{part}{stride_px}" for part in ("scores", "boxes", "points") for stride_px in _STRIDES_PX]
    graph = make.make_graph(
        [make.make_node("Conv", ["picture", "yellowness"], ["yellow"]), *(node for level in levels for node in level)],
        "yellow faces",
        [make.make_tensor_value_info("picture", kind, [1, 3, None, None])],
        [make.make_tensor_value_info(name, kind, None) for name in names],
        [onnx.numpy_helper.from_array(array, name) for name, array in _constants().items()],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path


def _level(make: Any, stride_px: int) -> list[Any]:
    """The nodes of one grid: its windows' yellowness is the score of the first of two candidates on each cell."""
    is_looking = stride_px == _LOOKS
    kernel, pad = (FACE_PX, (FACE_PX - stride_px) // 2) if is_looking else (stride_px, 0)
    name = str(stride_px)
    window = {"kernel_shape": [kernel] * 2, "strides": [stride_px] * 2, "pads": [pad] * 4, "count_include_pad": 1}
    return [
        make.make_node("AveragePool", ["yellow"], ["mean" + name], **window),
        make.make_node("Reshape", ["mean" + name, "column"], ["cells" + name]),  # (N, 1)
        make.make_node("Mul", ["cells" + name, "one" if is_looking else "zero"], ["first" + name]),
        make.make_node("Mul", ["cells" + name, "zero"], ["second" + name]),
        make.make_node("Concat", ["first" + name, "second" + name], ["both" + name], axis=1),  # (N, 2)
        make.make_node("Reshape", ["both" + name, "column"], ["scores" + name]),  # (2N, 1)
        make.make_node("Mul", ["scores" + name, "zero"], ["zeros" + name]),
        make.make_node("Add", ["zeros" + name, "one"], ["ones" + name]),
        make.make_node("MatMul", ["ones" + name, "sides"], ["boxes" + name]),  # (2N, 4)
        make.make_node("MatMul", ["ones" + name, "offsets"], ["points" + name]),  # (2N, 10)
    ]


def _constants() -> dict[str, NDArray[Any]]:
    # Red without blue, 1 for the brightest: the picture comes in -1..1. Distances are in cells, from a cell's corner.
    half, corner = FACE_PX / 2, _LOOKS / 2
    sides = np.array([[half - corner, half - corner, half + corner, half + corner]]) / _LOOKS
    return {
        "yellowness": np.array([0.5, 0.0, -0.5], np.float32).reshape(1, 3, 1, 1),
        "column": np.array([-1, 1]),
        "zero": np.float32(0.0).reshape(()),
        "one": np.float32(1.0).reshape(()),
        "sides": sides.astype(np.float32),
        "offsets": ((np.array(_POINTS_PX) + corner) / _LOOKS).astype(np.float32).reshape(1, 10),
    }


def _drawn(middle: tuple[int, int]) -> NDArray[np.uint8]:
    picture = np.full((PICTURE_PX, PICTURE_PX, 3), _GREY, np.uint8)
    x, y = middle
    cv2.ellipse(picture, middle, (75, 80), 0, 0, 360, _YELLOW, -1)
    for across, down in _POINTS_PX[:2]:
        cv2.circle(picture, (x + across, y + down), 8, _DARK, -1)
    cv2.ellipse(picture, (x, y + 40), (25, 6), 0, 0, 360, _DARK, -1)
    return picture
