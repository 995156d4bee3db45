"""The `viseme` generator: speech sounds move the mouth that the video already has.

What the speech encoder hears becomes mouth curves, curves become a warp of the frame's own pixels and a mouth interior
borrowed from the clip (`painter`).
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import ClipObserver
from lipsync_core.generators.contract import Conditions, GeneratorSpec
from lipsync_core.generators.viseme.curve_stream import CurveStream
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.hearing import MARGIN_S, mouth_samples
from lipsync_core.generators.viseme.painter import VISEME
from lipsync_core.models.store import ModelStore


class VisemeGenerator:
    """Implements `InferringHalf` from speech sounds alone."""

    def __init__(self, encoder: SpeechEncoder, expression: float = 1.0) -> None:
        """`expression` (0..1.5) scales the movement: at 0 the mouth rests, but for closures."""
        self._expression = expression
        self._stream = CurveStream(encoder, mouth_samples, ceil(MARGIN_S))

    @classmethod
    def open(cls, models: ModelStore, expression: float = 1.0) -> "VisemeGenerator":
        """The generator with the speech encoder of `models`; a process reads its weights once.

        Raises:
            ModelMissingError: the model `speech-encoder` is not installed.
            ModelCorruptError: its file is not the registered one.
        """
        return cls(SpeechEncoder.open(models.open_usable(MODEL).path("encoder")), expression)

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
        """The excerpt and at most 14 s before and behind: windows of the speech encoder and whole pieces of curves."""
        return self._stream.part_to_hear(start_s, end_s)

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> Conditions:
        """Mouth curves of `part` of the sound."""
        return self._stream.curves(speech, part)

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The curves, with the wanted expression, are the edits: (M, K) columns of `Curve`."""
        return expressed(conditions, self._expression)

    def cropper(self, track: FaceTrack) -> None:
        """None: this generator needs no crops."""


def expressed(curves: NDArray[np.float32], expression: float) -> NDArray[np.float32]:
    """(M, K) the mouth curves (columns of `Curve`) with their movement scaled by `expression`, 0..1.5.

    Jaw and width are scaled. Lips that close for P, B and M still meet, or the sound would be another one. The lower
    lip under the teeth and the tongue get smaller with the rest, and not larger: they touch the teeth at 1.
    """
    if expression == 1.0:
        return curves
    scaled = curves.copy()
    scaled[:, [Curve.JAW, Curve.WIDTH]] *= np.float32(expression)
    scaled[:, [Curve.TUCK, Curve.TONGUE]] *= np.float32(min(1.0, expression))
    return scaled
