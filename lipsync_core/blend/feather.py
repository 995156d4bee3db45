"""Feather blending: the mask is the weight."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.generators.contract import Painted


class FeatherBlender:
    """Weighs painted against source pixels by the mask; right for pixels that already fit their surroundings."""

    @property
    def name(self) -> str:
        """`feather`."""
        return "feather"

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB; equal to `region` wherever the mask is 0.

        Raises:
            ValueError: the shapes do not match.
        """
        if region.shape != painted.pixels.shape or region.shape[:2] != painted.mask.shape:
            raise ValueError(f"region {region.shape}, pixels {painted.pixels.shape}, mask {painted.mask.shape}")
        composite = cv2.blendLinear(painted.pixels, region, painted.mask, 1.0 - painted.mask)
        return composite.astype(np.uint8, copy=False)
