"""A picture as JPEG, of a bounded size."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

_QUALITIES = (80, 65, 50, 35)  # the first that fits is taken


def jpeg_within(rgb: NDArray[np.uint8], most_bytes: int) -> bytes:
    """`rgb` (H, W, 3) as JPEG of at most `most_bytes`, at the best quality that fits.

    Where none does, which takes noise, the picture has half the size.
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for quality in _QUALITIES:
        encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(encoded) <= most_bytes:
            return encoded
    half = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return jpeg_within(cast(NDArray[np.uint8], half), most_bytes)
