"""Pictures that are stored turned or mirrored: the eight cases of a display matrix.

A rotation stays in the file: every player turns by it. Mirrors do not, since many players leave them out: decoding
flips the pixels, and the rotation that is left is the movie's. The matrix is that of ISO/IEC 14496-12, 6.2.2, in the
order of FFmpeg's `libavutil/display.h`: x' = a x + c y, y' = b x + d y, stored as a b u c d v x y w.
"""

import math
import struct
from dataclasses import dataclass
from typing import cast

import av

from lipsync_core.media.planes import plane_samples

# PyAV 18.1 frees the text of a picture's side data twice, and the process crashes later. FFmpeg's decoder of PNG gives
# such text, with a colour profile (pngdec.c), and no other decoder does.
UNSAFE_CODECS = frozenset({"png", "apng"})


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes the one that is displayed: it is mirrored first, left to right, and then turned."""

    rotation_deg: int  # counter-clockwise
    is_mirrored: bool

    @property
    def quarter_turns(self) -> int:
        """Counter-clockwise (`np.rot90`), 0..3."""
        return round(self.rotation_deg / 90) % 4


def orientation_of(picture: av.VideoFrame, codec: str) -> Orientation:
    """The orientation of a picture as the decoder `codec` gave it; a mirror is not seen in PNG.

    `stills` reads images that are mirrored.
    """
    if codec in UNSAFE_CODECS:
        return Orientation(picture.rotation, is_mirrored=False)
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 does not know all kinds of side data, and then shows none
        return Orientation(picture.rotation, is_mirrored=False)
    if matrix is None:
        return Orientation(0, is_mirrored=False)
    a, b, _, c, d, *_ = struct.unpack("=9i", cast(bytes, matrix))
    if a * d - b * c >= 0:
        return Orientation(picture.rotation, is_mirrored=False)
    return Orientation(-round(math.degrees(math.atan2(-b, -a))), is_mirrored=True)


def mirror(picture: av.VideoFrame) -> None:
    """Flip a planar picture left to right, in place."""
    picture.make_writable()
    for at in range(len(picture.planes)):
        samples = plane_samples(picture, at)
        samples[:] = samples[:, ::-1].copy()
