"""GFPGAN in ONNX Runtime, from any file that computes it, under any input name."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.enhance.alignment import FACE_PX
from lipsync_core.errors import ModelError
from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.network import Network
from lipsync_core.network_opening import open_network

#: The first row of the aligned face that is restored. The eyes lie at row 240, and speech moves only rows below.
#: Leaving out the rows above more than halves the cost.
FIRST_ROW = 256
_INPUT_SHAPE = (1, 3, FACE_PX, FACE_PX)
_HALF = 127.5


class GfpganNetwork:
    """Takes aligned faces and gives the lower halves of the restored faces.

    Open it once in a process; threads may share it.
    """

    def __init__(self, source: Path | Network, provider: OpeningProvider = "cpu", threads: int | None = None) -> None:
        """Open the ONNX file, or take an open network.

        Raises as `OnnxModel`, and:
            ModelError: the file is not GFPGAN.
        """
        self._model = open_network(source, provider, threads)
        if len(self._model.inputs) != 1 or not self._model.inputs[0].fits(_INPUT_SHAPE):
            found = ", ".join(map(str, self._model.inputs))
            raise ModelError(
                f"{self._model.label} is not GFPGAN: its inputs are {found}", f"it must take {_INPUT_SHAPE} in float32"
            )

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._model.provider

    def restore(self, face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(512 - FIRST_ROW, 512, 3) uint8 RGB: the restored rows from FIRST_ROW on of `face` (512, 512, 3) uint8 RGB.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        restored = self.forward(network_face(face))  # (1, 3, 512 - FIRST_ROW, 512) about -1..1
        coded = np.rint((np.clip(restored[0], -1.0, 1.0) + 1.0) * _HALF).astype(np.uint8)
        return np.ascontiguousarray(coded.transpose(1, 2, 0))

    def forward(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, 3, 512 - FIRST_ROW, 512) float32 RGB, about -1..1, of `face` (1, 3, 512, 512) in -1..1.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        picture: NDArray[np.float32] = self._model.run({self._model.inputs[0].name: face})[0]
        row_count = picture.shape[2] if picture.ndim == 4 else 0
        if picture.shape != (1, 3, row_count, FACE_PX) or not FACE_PX - FIRST_ROW <= row_count <= FACE_PX:
            needed = f"its output must be (1, 3, {FACE_PX}, {FACE_PX}), or at least the rows from {FIRST_ROW} on"
            raise ModelError(f"{self._model.label} is not GFPGAN: its output is {picture.shape}", needed)
        return picture[:, :, FIRST_ROW - FACE_PX :]


def network_face(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 3, 512, 512) float32 in -1..1 of (512, 512, 3) uint8 RGB: (x / 255 - 0.5) / 0.5, as GFPGAN was trained."""
    return np.ascontiguousarray(face.transpose(2, 0, 1)[np.newaxis], np.float32) / np.float32(_HALF) - np.float32(1.0)
