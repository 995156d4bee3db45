"""The GFPGAN enhancer: aligns a face, restores its lower half and puts it back under the mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.enhance.alignment import FACE_PX, face_alignment, inverse, warp
from lipsync_core.enhance.contract import EnhancerSpec
from lipsync_core.enhance.gfpgan_onnx import FIRST_ROW, GfpganNetwork
from lipsync_core.execution import Provider
from lipsync_core.generators.contract import Painted

_SPEC = EnhancerSpec("gfpgan", "1", "Apache-2.0")
_RAMP_PX = 16  # of the aligned face, from its restored part's edges to full weight


class GfpganEnhancer:
    """Implements `Enhancer` with one network that threads may share."""

    def __init__(self, network: GfpganNetwork) -> None:
        self._network = network
        self._window = _restored_window()
        self._blender = FeatherBlender()

    @property
    def spec(self) -> EnhancerSpec:
        """GFPGAN v1.4."""
        return _SPEC

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._network.provider

    def enhance(
        self, pixels: NDArray[np.uint8], landmarks: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """See `Enhancer.enhance`; the network runs only if the mask shows some of the restored part.

        Raises:
            ValueError: the shapes do not match, or the landmarks are no face.
            ModelError: ONNX Runtime fails.
        """
        if pixels.shape != (*mask.shape, 3):
            raise ValueError(f"pixels {pixels.shape} under a mask {mask.shape}")
        to_face = face_alignment(landmarks)  # (2, 3)
        to_region = inverse(to_face)  # (2, 3)
        size_px = (pixels.shape[1], pixels.shape[0])
        weights = np.multiply(mask, warp(self._window, to_region, size_px, cv2.BORDER_CONSTANT))  # (h, w)
        if not weights.any():
            return pixels.copy()
        face = warp(pixels, to_face, (FACE_PX, FACE_PX), cv2.BORDER_REPLICATE)  # (512, 512, 3)
        face[FIRST_ROW:] = self._network.restore(face)
        restored = warp(face, to_region, size_px, cv2.BORDER_REPLICATE)  # (h, w, 3)
        return self._blender.blend(pixels, Painted(restored, weights))


def _restored_window() -> NDArray[np.float32]:
    """(512, 512) weights in 0..1 of the restored part of an aligned face, exactly 0 above it and at its edges."""
    across = np.arange(FACE_PX, dtype=np.float32)
    down = np.minimum(across - FIRST_ROW, FACE_PX - 1 - across)
    sides = np.minimum(across, FACE_PX - 1 - across)
    return np.clip(np.minimum.outer(down, sides) / _RAMP_PX, 0.0, 1.0)
