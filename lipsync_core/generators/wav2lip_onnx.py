"""The Wav2Lip network, from any ONNX file that computes it, or in a model server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError
from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.generators.wav2lip_mask import FACE_PX, FIRST_ROW
from lipsync_core.network import Network, TensorSpec
from lipsync_core.network_opening import open_network

CHUNK_COLUMNS = 16  # of mel: 0.2 s
MEL_SHAPE = (1, 80, CHUNK_COLUMNS)
FACES_SHAPE = (6, FACE_PX, FACE_PX)
CROPS_SHAPE = (FACE_PX, FACE_PX, 3)
PATCH_SHAPE = (FACE_PX - FIRST_ROW, FACE_PX, 3)
#: The inputs and outputs of a file that takes and gives bytes of pictures.
CROPS, MEL, PATCHES, MOUTH = "crops", "mel", "patches", "mouth"
#: The first row of the crop that is hidden from the network, which gets the upper half and a whole crop for reference.
HIDDEN_FROM_ROW = FACE_PX // 2


class Wav2LipNetwork:
    """Takes mel chunks and face crops, and gives the mouth's rows of the speaking faces.

    A file is of one of two kinds. One takes and gives bytes of pictures (`export.picture_ends`), also in a model
    server; the other is the bare network in float32, and what comes before and after it is computed here, to the same
    bytes. Open it once in a process; threads may share it.
    """

    def __init__(
        self,
        source: Path | Network,
        provider: OpeningProvider = "cpu",
        threads: int | None = None,
        first_row: int = FIRST_ROW,
    ) -> None:
        """Open the ONNX file, or take an open network, and recognise its inputs by their shapes.

        The rows from `first_row` on are used.

        Raises as `OnnxModel`, and:
            ModelError: the file is not Wav2Lip, or draws only later rows.
        """
        self.first_row = first_row
        self._model = open_network(source, provider, threads)
        #: Whether the file itself takes and gives bytes of pictures.
        self.has_picture_ends = _has_picture_ends(self._model)
        shapes = (MEL_SHAPE[1:], CROPS_SHAPE) if self.has_picture_ends else (MEL_SHAPE, FACES_SHAPE)
        self._mel, self._faces = (_input_of_shape(self._model, shape) for shape in shapes)
        _require_rows(self._model, first_row)
        #: The number of frames that the file takes at a time; None if it takes any number.
        self.fixed_batch = self._mel.shape[0] or self._faces.shape[0]

    @property
    def provider(self) -> Provider:
        """What runs the network."""
        return self._model.provider

    def speak(self, mel: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(B, 53, 96, 3) uint8 RGB: the mouth's rows of the crops, speaking the sound of `mel`.

        `mel` (B, 80, 16) float32 in -4..4, `crops` (B, 96, 96, 3) uint8 RGB.

        Raises:
            ModelError: the network fails.
            TransientError: its server does not answer.
        """
        if self.has_picture_ends:
            patches = self._outputs(mel, crops, PATCHES)
            return np.concatenate([np.empty((0, *PATCH_SHAPE), np.uint8), *map(self._patches, patches)])
        bgr = self.mouths(mel, crops)[:, :, FIRST_ROW - FACE_PX :]  # (B, 3, 53, 96) 0..1
        coded = np.rint(bgr * 255.0).astype(np.uint8)
        return np.ascontiguousarray(coded.transpose(0, 2, 3, 1)[..., ::-1])

    def mouths(self, mel: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, 3, 96 - first_row, 96) float32 BGR in 0..1, the network's own output for the inputs of `speak`.

        Raises as `speak`.
        """
        rows = FACE_PX - self.first_row
        outputs = self._outputs(mel, crops, MOUTH if self.has_picture_ends else None)
        return np.concatenate([np.empty((0, 3, rows, FACE_PX), np.float32), *map(self._mouth_rows, outputs)])

    def _outputs(self, mel: NDArray[np.float32], crops: NDArray[np.uint8], name: str | None) -> Iterator[NDArray[Any]]:
        """The output `name`, or the first, of each batch that the file takes."""
        count = len(mel)
        step = self.fixed_batch or max(1, count)
        for start in range(0, count, step):
            rows = np.minimum(np.arange(start, start + step), count - 1)  # a fixed batch is filled with its last frame
            feeds: dict[str, NDArray[Any]] = {self._mel.name: mel[rows], self._faces.name: crops[rows]}
            if not self.has_picture_ends:
                feeds = {self._mel.name: mel[rows, np.newaxis], self._faces.name: network_faces(crops[rows])}
            picture = self._model.run(feeds, (name,) if name else None)[0]
            if picture.shape[:1] != (step,):
                raise self._refusal(picture)
            yield picture[: count - start]

    def _patches(self, patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if patches.shape[1:] != PATCH_SHAPE:
            raise self._refusal(patches)
        return patches

    def _mouth_rows(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, 96 - first_row, 96) of an output that holds the picture's rows from some row up to first_row on."""
        rows = picture.shape[2] if picture.ndim == 4 else 0
        if picture.shape[1:] != (3, rows, FACE_PX) or not FACE_PX - self.first_row <= rows <= FACE_PX:
            raise self._refusal(picture)
        return picture[:, :, self.first_row - FACE_PX :]

    def _refusal(self, picture: NDArray[Any]) -> ModelError:
        needed = f"its output must be (B, 3, {FACE_PX}, {FACE_PX}), or at least the rows from {self.first_row} on"
        return ModelError(f"{self._model.label} is not Wav2Lip: its output is {picture.shape}", needed)


def network_faces(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(B, 6, 96, 96) BGR in 0..1 of crops (B, 96, 96, 3) uint8 RGB: the crop with its lower half hidden, then whole."""
    bgr = crops[..., ::-1].transpose(0, 3, 1, 2)  # (B, 3, 96, 96)
    faces = np.empty((len(crops), *FACES_SHAPE), np.float32)
    np.multiply(bgr, np.float32(1.0 / 255.0), out=faces[:, 3:])
    faces[:, :3] = faces[:, 3:]
    faces[:, :3, HIDDEN_FROM_ROW:] = 0.0
    return faces


def _has_picture_ends(model: Network) -> bool:
    return any(spec.dtype == "tensor(uint8)" for spec in model.inputs)


def _require_rows(model: Network, first_row: int) -> None:
    """Refuse a file that was imported for fewer of the picture's rows; another network is recognised when it runs."""
    pictures = [spec.shape for spec in model.outputs if len(spec.shape) == 4 and spec.dtype == "tensor(float)"]
    rows = pictures[0][2] if pictures else None
    if pictures and pictures[0][1:] == (3, rows, FACE_PX) and rows is not None and rows < FACE_PX - first_row:
        raise ModelError(
            f"{model.label} draws the picture's rows from {FACE_PX - rows} on, "
            f"and those from {first_row} on are needed",
            "import it again: lipsync models import PATH --as NAME --whole",
        )


def _input_of_shape(model: Network, shape: tuple[int, ...]) -> TensorSpec:
    """The one input that takes (B, *shape), by any name."""
    dtype = "tensor(uint8)" if shape == CROPS_SHAPE else "tensor(float)"
    fitting = [spec for spec in model.inputs if spec.fits((None, *shape), dtype)]
    if len(model.inputs) != 2 or len(fitting) != 1:
        found = ", ".join(map(str, model.inputs))
        raise ModelError(
            f"{model.label} is not Wav2Lip: its inputs are {found}",
            f"its inputs must be mel chunks {_wanted(MEL_SHAPE)} and faces {_wanted(FACES_SHAPE)} in float32",
        )
    return fitting[0]


def _wanted(shape: tuple[int, ...]) -> str:
    return f"(B, {', '.join(map(str, shape))})"
