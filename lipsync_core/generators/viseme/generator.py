"""The `viseme` generator: speech sounds move the mouth that the video already has.

No learned weights take part: phones become mouth curves, curves become a warp of the frame's own
pixels and a mouth interior borrowed from the clip (`painter`).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.track import ClipObserver, FaceTrack
from lipsync_core.generators.contract import Conditions, GeneratorSpec
from lipsync_core.generators.viseme.curves import mouth_curves
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.painter import VISEME


class VisemeGenerator:
    """Implements `InferringHalf` from speech sounds alone."""

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

    def listen(self, speech: Iterable[NDArray[np.int16]]) -> Conditions:
        """Mouth curves of the whole audio."""
        return mouth_curves(speech)

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The curves are the edits: (M, K) columns of `Curve`."""
        return conditions

    def cropper(self, track: FaceTrack) -> None:
        """None: this generator needs no crops."""
