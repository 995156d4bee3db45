"""Mouths that something covers for a while, by the colours of their place against those of the rest of the movie.

A cup or a sheet in front of the mouth is told. A hand has the skin's colour and a microphone leaves most of the place
bare: of them few are. One that is there all the time is the movie's own look, and is not told either (docs/score.md).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_SQUARES = 8  # a side of the painted region
_MARGIN = 1  # squares at its edge that show the background of a turned head
_SIDE = _SQUARES - 2 * _MARGIN
_MIDDLE = slice(1, _SIDE - 1)  # lips, chin and the skin beside them
_WEIGHTS = (0.5, 1.0, 1.0)  # of CIELAB: light changes more than colour
#: Squares of a mouth that is covered differ from the usual by more, in CIELAB: bare mouths of the first set by 10.9 at
#: most, and cups and sheets by 13.7 and more in nine of ten frames.
_COVERED = 12.5


def look_of(before: NDArray[np.uint8]) -> tuple[int, ...]:
    """The mean colours of the squares of a region, whose source pixels are `before` (h, w, 3) RGB: values 0..255."""
    squares = cv2.resize(before, (_SQUARES, _SQUARES), interpolation=cv2.INTER_AREA)  # (8, 8, 3)
    inner = squares[_MARGIN : _MARGIN + _SIDE, _MARGIN : _MARGIN + _SIDE]
    return tuple(int(value) for value in inner.ravel())


def covered_looks(looks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(K,) whether the mouths of a movie whose (K, 108) looks these are seem covered."""
    if not len(looks):
        return np.zeros(0, np.bool_)
    rgb = looks.reshape(len(looks), -1, 3).astype(np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(len(looks), _SIDE, _SIDE, 3)
    apart = lab - np.median(lab, axis=0)
    apart[..., 0] -= np.median(apart[..., 0], axis=(1, 2), keepdims=True)  # the light of the whole frame
    distance = np.linalg.norm(apart * np.array(_WEIGHTS, np.float32), axis=-1)  # (K, 6, 6)
    covered: NDArray[np.bool_] = distance[:, _MIDDLE, _MIDDLE].mean(axis=(1, 2)) > _COVERED
    return covered
