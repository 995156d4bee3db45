"""Pictures that are stored turned or mirrored: the eight cases of a display matrix.

A rotation stays in the file: every player turns by it. Mirrors do not, since many players leave them out: decoding
flips the pixels, and the rotation that is left is the movie's. The matrix is that of ISO/IEC 14496-12, 6.2.2, in the
order of FFmpeg's `libavutil/display.h`: x' = a x + c y, y' = b x + d y, with a, b, c, d at places 0, 1, 3 and 4.
"""

import math
from dataclasses import dataclass

import av
import numpy as np
from av.sidedata.sidedata import Type

from lipsync_core.media.planes import plane_samples

_A, _B, _C, _D = 0, 1, 3, 4


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes the one that is displayed: it is mirrored first, left to right, and then turned."""

    rotation_deg: int  # counter-clockwise
    is_mirrored: bool

    @property
    def quarter_turns(self) -> int:
        """Counter-clockwise (`np.rot90`), 0..3."""
        return round(self.rotation_deg / 90) % 4


def orientation_of(picture: av.VideoFrame) -> Orientation:
    """The orientation of a picture as its decoder gave it."""
    try:
        matrix = picture.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV 18 reads no side data beside EXIF data; `stills` reads images that EXIF data mirror
        return Orientation(picture.rotation, is_mirrored=False)
    if matrix is None:
        return Orientation(0, is_mirrored=False)
    a, b, c, d = (int(np.frombuffer(matrix, np.int32)[at]) for at in (_A, _B, _C, _D))
    if a * d - b * c >= 0:
        return Orientation(picture.rotation, is_mirrored=False)
    return Orientation(-round(math.degrees(math.atan2(-b, -a))), is_mirrored=True)


def mirror(picture: av.VideoFrame) -> None:
    """Flip a planar picture left to right, in place."""
    picture.make_writable()
    for at in range(len(picture.planes)):
        samples = plane_samples(picture, at)
        samples[:] = samples[:, ::-1].copy()
