"""A face in a picture, and networks in GFPGAN's format whose result on it is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from lipsync_core.enhance.gfpgan_onnx import GfpganNetwork
from tests.scaling_network import write_scaling_network

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
