"""The painting half of `wav2lip`: patches of the lower face, back into the frame. It needs no weights."""

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import ClipObserver
from lipsync_core.generators.contract import GeneratorSpec, Painted
from lipsync_core.generators.crop import crop_face
from lipsync_core.generators.wav2lip_boxes import FacePadding, face_boxes, upright_turns
from lipsync_core.generators.wav2lip_mask import FACE_PX, FIRST_ROW, mouth_mask
from lipsync_core.media.planes import Box

WAV2LIP_VERSION = "1"  # of both halves; raise it with every change that may alter an edit or its painting
_MIN_SCORE = 0.5
_MIN_SIDE_PX = 8  # of a face; a smaller one shows no mouth


def wav2lip_spec(name: str, licence: str, batch_frames: int | None = None) -> GeneratorSpec:
    """The spec of one of the sets of weights. It needs crops, and no mesh."""
    return GeneratorSpec(
        name,
        WAV2LIP_VERSION,
        licence,
        needs_mesh=False,
        hears_at="start",
        crop_px=FACE_PX,
        batch_frames=batch_frames,
    )


class Wav2LipWatching:
    """Implements `Watching`: nothing in the clip is looked at but the face track."""

    def __init__(self, name: str, licence: str) -> None:
        self._spec = wav2lip_spec(name, licence)

    @property
    def spec(self) -> GeneratorSpec:
        """See `Watching`."""
        return self._spec

    def observer(self) -> ClipObserver | None:
        """None."""
        return None


class Wav2LipPainting:
    """Implements `PaintingHalf` for all weights of Wav2Lip."""

    def __init__(self, padding: FacePadding | None = None) -> None:
        """`padding` is that of the inferring half."""
        self._padding = padding or FacePadding()

    def painter(self, track: FaceTrack, findings: dict[str, NDArray[np.generic]]) -> "Wav2LipPainter":
        """A painter for the clip of `track`; it needs no findings."""
        return Wav2LipPainter(track, self._padding)


class Wav2LipPainter:
    """Cuts crops out, and puts patches back where they came from. It only reads what it holds: threads may share it."""

    def __init__(self, track: FaceTrack, padding: FacePadding) -> None:
        self._scores = track.scores
        self._turns = upright_turns(track)
        self._boxes = face_boxes(track, padding, self._turns)
        self._mask = mouth_mask()

    def region(self, frame_index: int) -> Box | None:
        """The padded, steadied box of the whole face; None without a face, or with one that is too small or unsure."""
        if self._scores[frame_index] < _MIN_SCORE:
            return None
        box = Box(*self._boxes[frame_index].tolist())
        return box if min(box.width, box.height) >= _MIN_SIDE_PX else None

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(96, 96, 3) uint8 RGB, upright: the crop for `infer`. `pixels` are a frame's own in the box of `region`."""
        return np.ascontiguousarray(np.rot90(crop_face(pixels, FACE_PX), self._turns))

    def paint(self, region: NDArray[np.uint8], box: Box, frame_index: int, edit: NDArray[Any]) -> Painted:
        """`edit` (53, 96, 3) uint8 RGB at the size of `region`; `box` is the part of the face box in the frame.

        Raises:
            ValueError: the edit has another shape.
        """
        if edit.shape != (FACE_PX - FIRST_ROW, FACE_PX, 3):
            raise ValueError(f"edit of shape {edit.shape}")
        # The rows above are read by no pixel with a weight; they only have to be there for the resize.
        face = cv2.copyMakeBorder(edit, FIRST_ROW, 0, 0, 0, cv2.BORDER_REPLICATE)  # (96, 96, 3)
        size = (region.shape[1], region.shape[0])
        face, mask = (np.ascontiguousarray(np.rot90(upright, -self._turns)) for upright in (face, self._mask))
        return Painted(
            cast(NDArray[np.uint8], cv2.resize(face, size, interpolation=cv2.INTER_LINEAR)),
            cast(NDArray[np.float32], cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)),
        )
