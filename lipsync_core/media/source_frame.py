"""One decoded frame of the source."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av

from lipsync_core.media.colour import HDR_NAMES

_MATRIX_NAMES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}  # ITU-T H.273


class Shape(NamedTuple):
    """What a picture is as its decoder gave it, by FFmpeg's and H.273's terms."""

    width_px: int
    height_px: int
    pix_fmt: str
    matrix: int
    is_full_range: bool
    transfer: int


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One decoded frame; the receiver owns `picture`, and calls `picture.make_writable()` before editing it."""

    index: int  # from 0, in display order
    pts: int  # in units of time_base, the first frame at 0, strictly ascending
    duration: int  # to the next frame
    time_base: Fraction  # seconds
    picture: av.VideoFrame  # planar YUV of 8 or 10 bits: `working_format`; turned as stored, and not mirrored
    extra_turns: int = 0  # quarter turns counterclockwise that make it upright, beside those of `picture.rotation`
    converted_from: Shape | None = None  # where the film's first picture has another one, which this was given

    @property
    def start_s(self) -> Fraction:
        """The frame's start time, counted from the first frame's."""
        return self.pts * self.time_base


def described(shape: Shape) -> str:
    """In words, such as "320x240 yuv420p BT.709"."""
    matrix = _MATRIX_NAMES.get(shape.matrix, "")
    hdr = HDR_NAMES.get(shape.transfer, "")
    parts = (f"{shape.width_px}x{shape.height_px}", shape.pix_fmt, matrix, hdr, "full range" * shape.is_full_range)
    return " ".join(part for part in parts if part)
