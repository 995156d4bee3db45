"""The `viseme` generator: speech sounds move the mouth that the video already has.

Phones become mouth curves, curves become a warp of the frame's own pixels and a mouth interior borrowed from the clip
(`painter`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder, surroundings
from lipsync_core.face.track import ClipObserver, FaceTrack
from lipsync_core.generators.contract import Conditions, GeneratorSpec
from lipsync_core.generators.viseme.curves import CURVES_HZ, mouth_curves
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.painter import VISEME
from lipsync_core.models.store import ModelStore


class VisemeGenerator:
    """Implements `InferringHalf` from speech sounds alone."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._encoder = encoder

    @classmethod
    def open(cls, models: ModelStore) -> "VisemeGenerator":
        """The generator with the speech encoder of `models`; a process reads its weights once.

        Raises:
            ModelMissingError: the model `speech-encoder` is not installed.
            ModelCorruptError: its file is not the registered one.
        """
        return cls(SpeechEncoder.open(models.open_usable(MODEL).path("encoder")))

    @property
    def spec(self) -> GeneratorSpec:
        """Needs mesh landmarks, no crops."""
        return VISEME

    @property
    def provider(self) -> None:
        """None: it has no network."""

    def observer(self) -> ClipObserver:
        """An observer that looks for teeth to borrow."""
        return MouthObserver()

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        """The windows of the speech encoder that overlap the excerpt."""
        return surroundings(start_s, end_s)

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> Conditions:
        """Mouth curves of `part` of the sound."""
        return replace(mouth_curves(speech), first=part.first_s * CURVES_HZ)

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The curves are the edits: (M, K) columns of `Curve`."""
        return conditions

    def cropper(self, track: FaceTrack) -> None:
        """None: this generator needs no crops."""
