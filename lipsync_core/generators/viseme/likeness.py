"""Tells by the clip's own closed lips whether a frame's lips are closed.

Dark and teeth are told by thresholds, and dim teeth, a tongue or a lip in shadow pass them. Lips that are closed look
like the same person's closed lips; an open mouth does not, whatever lies in it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.generators.viseme.lips import LIP_PART, LipPicture

_ALONG, _INSIDE = 33, 0.1  # columns from corner to corner, less this share at either end
_ABOVE, _BELOW = 0.08, 0.10  # mouth widths on either side of the line between the lips
_LINES = 25
_FINER = 2  # samples a cell, in both directions
_SHIFTS = (-2, -1, 0, 1, 2)  # lines by which the line may have been missed
_LIKE, _UNLIKE = 0.13, 0.20  # deviations, in shares of the mean colour: certainly closed, and certainly not


class ClosedLook:
    """The look of the clip's closed lips."""

    def __init__(self, picture: LipPicture) -> None:
        upper_outer, line = picture.contours[0], picture.contours[1]
        self._width_px = float(upper_outer[-1, 0] - upper_outer[0, 0])
        self._cells = self._around(picture.pixels, line - LIP_PART[:2], picture.scale)

    def likeness(self, pixels: NDArray[np.uint8], line: NDArray[np.float64]) -> float:
        """1 if lips look as closed ones do, 0 if not, in between where it is not certain.

        Args:
            pixels: (h, w, 3) RGB, of the scale of the canonical crop.
            line: (C, 2) where the lips may meet, from corner to corner, in its pixels.
        """
        cells, own = self._around(pixels, line, 1.0), self._cells
        pairs = [(cells[max(0, k) : _LINES + min(0, k)], own[max(0, -k) : _LINES + min(0, -k)]) for k in _SHIFTS]
        deviation = min(float(np.sqrt(np.square(_unlit(here) - _unlit(there)).mean())) for here, there in pairs)
        return float(np.clip((_UNLIKE - deviation) / (_UNLIKE - _LIKE), 0.0, 1.0))

    def _around(self, pixels: NDArray[np.uint8], line: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
        """(_LINES, _ALONG, 3) the colours around a `line` in canonical pixels; the picture has `scale` pixels each."""
        length = line[-1, 0] - line[0, 0]
        columns = np.linspace(line[0, 0] + _INSIDE * length, line[-1, 0] - _INSIDE * length, _ALONG * _FINER)
        depths = self._width_px * np.linspace(-_ABOVE, _BELOW, _LINES * _FINER)[:, None]
        lines = (np.interp(columns, line[:, 0], line[:, 1]) + depths + 0.5) * scale - 0.5
        across = np.broadcast_to((columns + 0.5) * scale - 0.5, lines.shape).astype(np.float32)
        found = cv2.remap(pixels, across, lines.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blurred = cv2.GaussianBlur(found, (5, 5), 0)
        return cv2.resize(blurred, (_ALONG, _LINES), interpolation=cv2.INTER_AREA).astype(np.float32)


def _unlit(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours as shares of their mean, whatever the light."""
    shares: NDArray[np.float32] = cells / np.maximum(cells.mean((0, 1)), 4.0)
    return shares
