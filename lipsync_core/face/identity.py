"""Recognises the followed face among the faces of a frame, by position and size."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.detect import overlap

#: A lost face can be recognised again for this long; afterwards the person to follow is chosen anew.
MEMORY_S = Fraction(1)
#: A detection belongs to a known face when its centre is within this share of the face's size, and
#: their sizes differ by no more than this factor (a detector's box ends at the brow, a mesh's does not).
_NEAR = 0.8
_LIKE_SIZE = 2.0


class Located(Protocol):
    """A face with a box."""

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) x0 y0 x1 y1."""


_L = TypeVar("_L", bound=Located)


def nearest(faces: Iterable[_L], box: NDArray[np.float32]) -> list[_L]:
    """The faces that may be the one last seen in `box`, best overlap first."""
    near = [face for face in faces if is_near(face.box, box, _NEAR, _LIKE_SIZE)]
    return sorted(near, key=lambda face: -float(overlap(box, face.box[np.newaxis])[0]))


def is_near(box: NDArray[np.float32], other: NDArray[np.float32], max_step: float, max_growth: float) -> bool:
    """Whether two boxes may be the same face: centres within `max_step` of the size, sizes alike."""
    sizes = float((box[2:] - box[:2]).max()), float((other[2:] - other[:2]).max())
    shift = float(np.linalg.norm((box[:2] + box[2:]) - (other[:2] + other[2:])) / 2)
    return shift <= max_step * max(sizes) and max(sizes) <= max_growth * max(min(sizes), 1e-3)
