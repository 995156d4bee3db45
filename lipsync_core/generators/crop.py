"""Face crops, the input of generators that learned from pictures."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray


def crop_face(region: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """(size_px, size_px, 3) uint8: `region` (h, w, 3), the pixels of a painter's region inside the frame, resized.

    Bilinear and without regard to its aspect, as Wav2Lip was trained.

    Raises:
        ValueError: the region is empty.
    """
    if region.size == 0:
        raise ValueError(f"region of shape {region.shape}")
    return cast(NDArray[np.uint8], cv2.resize(region, (size_px, size_px), interpolation=cv2.INTER_LINEAR))
