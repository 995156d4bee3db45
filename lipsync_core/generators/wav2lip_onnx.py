"""The Wav2Lip network in ONNX Runtime, from any file that computes it, under any input names."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError
from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.generators.wav2lip_mask import FACE_PX, FIRST_ROW
from lipsync_core.onnx_session import OnnxModel, TensorSpec

CHUNK_COLUMNS = 16  # of mel: 0.2 s
MEL_SHAPE = (1, 80, CHUNK_COLUMNS)
FACES_SHAPE = (6, FACE_PX, FACE_PX)
#: The first row of the crop that is hidden from the network, which gets the upper half and a whole crop for reference.
_HIDDEN_FROM_ROW = FACE_PX // 2


class Wav2LipNetwork:
    """Takes mel chunks and face crops, and gives the mouth's rows of the speaking faces.

    Open it once in a process; threads may share it.
    """

    def __init__(
        self, path: Path, provider: OpeningProvider = "cpu", threads: int | None = None, first_row: int = FIRST_ROW
    ) -> None:
        """Open the ONNX file and recognise its inputs by their shapes; the rows from `first_row` on are used.

        Raises as `OnnxModel`, and:
            ModelError: the file is not Wav2Lip, or draws only later rows.
        """
        self.first_row = first_row
        self._model = OnnxModel(path, provider, threads)
        self._mel = _input_of_shape(self._model, MEL_SHAPE)
        self._faces = _input_of_shape(self._model, FACES_SHAPE)
        _require_rows(self._model, first_row)
        #: The number of frames that the file takes at a time; None if it takes any number.
        self.fixed_batch = self._mel.shape[0] or self._faces.shape[0]

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._model.provider

    def speak(self, mel: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(B, 96 - first_row, 96, 3) uint8 RGB: the rows from first_row on of the crops, speaking the sound of `mel`.

        `mel` (B, 80, 16) float32 in -4..4, `crops` (B, 96, 96, 3) uint8 RGB.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        bgr = self.forward(mel[:, np.newaxis], network_faces(crops))  # (B, 3, rows, 96) 0..1
        coded = np.rint(bgr * 255.0).astype(np.uint8)
        return np.ascontiguousarray(coded.transpose(0, 2, 3, 1)[..., ::-1])

    def forward(self, mel: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, 96 - first_row, 96) float32 BGR in 0..1, the network's own output.

        `mel` (B, 1, 80, 16); `faces` (B, 6, 96, 96) BGR in 0..1, the lower half of channels 0-2 at zero.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        count = len(mel)
        step = self.fixed_batch or max(1, count)
        mouths = [np.empty((0, 3, FACE_PX - self.first_row, FACE_PX), np.float32)]
        for start in range(0, count, step):
            rows = np.minimum(np.arange(start, start + step), count - 1)  # a fixed batch is filled with its last frame
            outputs = self._model.run({self._mel.name: mel[rows], self._faces.name: faces[rows]})
            mouths.append(self._mouth_rows(outputs[0], step))
        return np.concatenate(mouths)[:count]

    def _mouth_rows(self, picture: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
        """(B, 3, 96 - first_row, 96) of an output that holds the picture's rows from some row up to first_row on."""
        rows = picture.shape[2] if picture.ndim == 4 else 0
        if picture.shape != (batch, 3, rows, FACE_PX) or not FACE_PX - self.first_row <= rows <= FACE_PX:
            needed = f"its output must be (B, 3, {FACE_PX}, {FACE_PX}), or at least the rows from {self.first_row} on"
            raise ModelError(f"{self._model.path} is not Wav2Lip: its output is {picture.shape}", needed)
        return picture[:, :, self.first_row - FACE_PX :]


def network_faces(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(B, 6, 96, 96) BGR in 0..1 of crops (B, 96, 96, 3) uint8 RGB: the crop with its lower half hidden, then whole."""
    bgr = crops[..., ::-1].transpose(0, 3, 1, 2)  # (B, 3, 96, 96)
    faces = np.empty((len(crops), *FACES_SHAPE), np.float32)
    np.multiply(bgr, np.float32(1.0 / 255.0), out=faces[:, 3:])
    faces[:, :3] = faces[:, 3:]
    faces[:, :3, _HIDDEN_FROM_ROW:] = 0.0
    return faces


def _require_rows(model: OnnxModel, first_row: int) -> None:
    """Refuse a file that was imported for fewer of the picture's rows; another network is recognised when it runs."""
    shape = model.outputs[0].shape
    rows = shape[2] if len(shape) == 4 else None
    if shape[1:] == (3, rows, FACE_PX) and rows is not None and rows < FACE_PX - first_row:
        raise ModelError(
            f"{model.path} draws the picture's rows from {FACE_PX - rows} on, and those from {first_row} on are needed",
            "import it again: lipsync models import PATH --as NAME --whole",
        )


def _input_of_shape(model: OnnxModel, shape: tuple[int, ...]) -> TensorSpec:
    """The one input that takes (B, *shape), by any name."""
    fitting = [spec for spec in model.inputs if _takes(spec, shape)]
    if len(model.inputs) != 2 or len(fitting) != 1:
        found = ", ".join(f"{spec.name} {_shown(spec)}" for spec in model.inputs)
        raise ModelError(
            f"{model.path} is not Wav2Lip: its inputs are {found}",
            f"its inputs must be mel chunks {_wanted(MEL_SHAPE)} and faces {_wanted(FACES_SHAPE)} in float32",
        )
    return fitting[0]


def _takes(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    sizes = zip(spec.shape[1:], shape, strict=False)
    is_float = spec.dtype == "tensor(float)"
    return is_float and len(spec.shape) == len(shape) + 1 and all(size in (None, wanted) for size, wanted in sizes)


def _shown(spec: TensorSpec) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in spec.shape) + f") {spec.dtype}"


def _wanted(shape: tuple[int, ...]) -> str:
    return f"(B, {', '.join(map(str, shape))})"
