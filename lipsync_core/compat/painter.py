"""The painting half of jobs as Wav2Lip's public implementation does them: whole pictures, pasted with hard edges."""

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.contract import Painted
from lipsync_core.generators.crop import crop_face
from lipsync_core.generators.wav2lip_mask import FACE_PX
from lipsync_core.generators.wav2lip_painter import WAV2LIP_VERSION
from lipsync_core.media.planes import Box

UPSTREAM_VERSION = f"{WAV2LIP_VERSION}-upstream"


class UpstreamPainting:
    """Implements `PaintingHalf`."""

    def painter(self, track: FaceTrack, findings: dict[str, NDArray[np.generic]]) -> "UpstreamPainter":
        """A painter for the clip of `track`, which comes from `plan_as_upstream`."""
        return UpstreamPainter(track)


class UpstreamPainter:
    """Cuts out the boxes of an `UpstreamPlan`'s track, and pastes whole pictures back there."""

    def __init__(self, track: FaceTrack) -> None:
        self._track = track

    def region(self, frame_index: int) -> Box | None:
        """The frame's box; None if there is no face, or no part of it lies in the frame."""
        if not self._track.has_face[frame_index]:
            return None
        box = Box(*self._track.boxes[frame_index].astype(np.int64).tolist())
        return None if box.is_empty else box

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(96, 96, 3) uint8 RGB."""
        return crop_face(pixels, FACE_PX)

    def paint(self, region: NDArray[np.uint8], box: Box, frame_index: int, edit: NDArray[Any]) -> Painted:
        """`edit` (96, 96, 3) uint8 RGB at the size of `region`, under a mask that lets all of it through.

        Raises:
            ValueError: the edit has another shape.
        """
        if edit.shape != (FACE_PX, FACE_PX, 3):
            raise ValueError(f"edit of shape {edit.shape}")
        height, width = region.shape[:2]
        face = cv2.resize(edit, (width, height), interpolation=cv2.INTER_LINEAR)
        return Painted(cast(NDArray[np.uint8], face), np.ones((height, width), np.float32))
