"""The SyncNet network, from any ONNX file that computes it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.mfcc import CEPSTRA_HZ, COEFFICIENTS
from lipsync_core.errors import ModelError
from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.network import Network
from lipsync_core.network_opening import open_network

#: Pictures a second that the network was trained on.
FRAME_HZ = 25
#: Pictures of a window, of .2 s, and rows of the cepstrum of the same time. Windows begin with each picture.
WINDOW_FRAMES = 5
CEPSTRA_A_FRAME = CEPSTRA_HZ // FRAME_HZ
WINDOW_CEPSTRA = WINDOW_FRAMES * CEPSTRA_A_FRAME
CROP_PX = 224
CEPSTRA_SHAPE = (1, COEFFICIENTS, WINDOW_CEPSTRA)
FACES_SHAPE = (3, WINDOW_FRAMES, CROP_PX, CROP_PX)
#: The embeddings of a window's sound, and of its pictures.
_EMBEDDINGS = 2


class SyncNetNetwork:
    """Takes the sound and the pictures of windows, and gives an embedding of each.

    Open it once in a process; threads may share it.
    """

    def __init__(self, source: Path | Network, provider: OpeningProvider = "cpu", threads: int | None = None) -> None:
        """Open the ONNX file, or take an open network, and recognise its inputs by their shapes.

        Raises as `OnnxModel`, and:
            ModelError: the file is not SyncNet.
        """
        self._model = open_network(source, provider, threads)
        self._cepstra, self._faces = (_input_of_shape(self._model, shape) for shape in (CEPSTRA_SHAPE, FACES_SHAPE))

    @property
    def provider(self) -> Provider:
        """What runs the network."""
        return self._model.provider

    def embed(self, cepstra: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2, E) the embeddings of each window's sound and of its pictures; the public network has an E of 1024.

        `cepstra` (B, 1, 13, 20) of `audio.mfcc`; `faces` (B, 3, 5, 224, 224) BGR in 0..255, both in order of time.

        Raises:
            ModelError: the network fails.
        """
        embeddings: NDArray[np.float32] = self._model.run({self._cepstra: cepstra, self._faces: faces})[0]
        if embeddings.ndim != 3 or embeddings.shape[:2] != (len(cepstra), _EMBEDDINGS):
            needed = f"its output must be ({len(cepstra)}, {_EMBEDDINGS}, E)"
            raise ModelError(f"{self._model.label} is not SyncNet: its output is {embeddings.shape}", needed)
        return embeddings


def _input_of_shape(model: Network, shape: tuple[int, ...]) -> str:
    """The name of the input that takes any number of arrays of `shape`."""
    for spec in model.inputs:
        if spec.shape[:1] == (None,) and spec.fits((None, *shape)):
            return spec.name
    found = ", ".join(map(str, model.inputs))
    needed = f"it must take (B, {', '.join(map(str, shape))}) in float32, for any B"
    raise ModelError(f"{model.label} is not SyncNet: its inputs are {found}", needed)
