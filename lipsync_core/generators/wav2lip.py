"""The `wav2lip` generator: a network redraws the lower face to fit the sound.

Prajwal et al. 2020, "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild"; chunks, crops and
boxes as in its public implementation, where the frame times here are exact instead of rounded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.mel import MEL_BANDS, MEL_HZ, MEL_SILENCE, mel_spectrogram
from lipsync_core.execution import Provider
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import ClipObserver
from lipsync_core.generators.contract import GeneratorSpec
from lipsync_core.generators.wav2lip_boxes import FacePadding
from lipsync_core.generators.wav2lip_mask import FACE_PX, FIRST_ROW
from lipsync_core.generators.wav2lip_onnx import CHUNK_COLUMNS, Wav2LipNetwork
from lipsync_core.generators.wav2lip_painter import Wav2LipPainter, wav2lip_spec

#: The memory of one more frame in a batch: measured in ONNX Runtime, without arena, between batches of 4 and 32.
BYTES_PER_FRAME = 11_000_000
#: Batches of 4, which are as fast on a CPU as larger ones.
DEFAULT_BUDGET_BYTES = 48_000_000
#: The frames in one request to a model server, which forms larger batches of the requests of several runs. They are
#: held until they are painted.
SERVED_BATCH = 8

_ROUNDING = 1e-6  # columns: a start time that is a whole column in exact arithmetic stays one in float64


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MelChunks:
    """The mel spectrogram of a sound or a part of it; implements `generators.contract.Conditions`."""

    mel: NDArray[np.float32]  # (80, M), M >= 16
    first: int = 0  # the number of its first column in the whole sound

    def __post_init__(self) -> None:
        if self.mel.ndim != 2 or self.mel.shape[0] != MEL_BANDS or self.mel.shape[1] < CHUNK_COLUMNS:
            raise ValueError(f"mel of shape {self.mel.shape}")

    def __repr__(self) -> str:
        return f"MelChunks({self.mel.shape[1] / MEL_HZ:.2f} s)"

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """(M, 80, 16) the 0.2 s of mel that begin with each frame; `times_s` (M,) are the frames' START times.

        Past the end of the audio, its last 0.2 s.
        """
        columns = np.floor(np.asarray(times_s, np.float64) * MEL_HZ + _ROUNDING).astype(np.int64)
        columns = np.clip(columns - self.first, 0, self.mel.shape[1] - CHUNK_COLUMNS)
        windows = np.lib.stride_tricks.sliding_window_view(self.mel, CHUNK_COLUMNS, axis=1)  # (80, M - 15, 16) view
        return np.ascontiguousarray(windows[:, columns].transpose(1, 0, 2))


@dataclass(frozen=True, slots=True)
class Identity:
    """The weights of the network: `wav2lip` and `wav2lip-gan` differ in nothing else."""

    name: str  # in the model registry
    licence: str


class Wav2LipGenerator:
    """Implements `InferringHalf` with one network that threads may share."""

    def __init__(
        self,
        network: Wav2LipNetwork,
        identity: Identity,
        padding: FacePadding | None = None,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        """Infer in batches whose activations fit into `budget_bytes`, at least one frame at a time."""
        self._network = network
        self._identity = identity
        self._padding = padding or FacePadding()
        if network.provider == "server":
            self._batch = SERVED_BATCH
        else:
            self._batch = network.fixed_batch or max(1, budget_bytes // BYTES_PER_FRAME)

    @property
    def spec(self) -> GeneratorSpec:
        """Needs crops, and no mesh."""
        return wav2lip_spec(self._identity.name, self._identity.licence, self._batch)

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._network.provider

    def observer(self) -> ClipObserver | None:
        """None: the face track alone is enough."""
        return None

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        """Between one and two seconds more on either side: a chunk of mel, and the edges of the spectrogram."""
        return SoundPart(max(0, floor(start_s) - 1), None if end_s is None else ceil(end_s) + 1)

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> MelChunks:
        """The mel spectrogram of `part` of the sound; one shorter than 0.2 s is filled up with silence."""
        mel = mel_spectrogram(speech)
        missing = max(0, CHUNK_COLUMNS - mel.shape[1])
        if missing:
            mel = np.pad(mel, ((0, 0), (0, missing)), constant_values=MEL_SILENCE)
        return MelChunks(mel, part.first_s * MEL_HZ)

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(M, 53, 96, 3) uint8 RGB: rows 43-95 of each crop, speaking.

        `crops` yields (96, 96, 3) uint8 RGB, one per row of `conditions` (M, 80, 16), made by the painter's `crop`.
        Rows do not depend on each other: calling it in parts gives the same, in less memory.

        Raises:
            ValueError: there are fewer crops than conditions.
            ModelError: ONNX Runtime fails.
        """
        edits = np.empty((len(conditions), FACE_PX - FIRST_ROW, FACE_PX, 3), np.uint8)
        for start in range(0, len(conditions), self._batch):
            mel = conditions[start : start + self._batch]
            batch = list(islice(crops or (), len(mel)))
            if len(batch) < len(mel):
                raise ValueError(f"{start + len(batch)} crops for {len(conditions)} conditions")
            edits[start : start + len(mel)] = self._network.speak(mel, np.stack(batch))
        return edits

    def cropper(self, track: FaceTrack) -> Wav2LipPainter:
        """The painter of the same clip."""
        return Wav2LipPainter(track, self._padding)
