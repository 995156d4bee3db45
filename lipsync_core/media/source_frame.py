"""One decoded frame of the source."""

from dataclasses import dataclass
from fractions import Fraction

import av


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One decoded frame; the receiver owns `picture`, and calls `picture.make_writable()` before editing it."""

    index: int  # from 0, in display order
    pts: int  # in units of time_base, the first frame at 0, strictly ascending
    duration: int  # to the next frame
    time_base: Fraction  # seconds
    picture: av.VideoFrame  # planar YUV of 8 or 10 bits: `working_format`; turned as stored, and not mirrored
    extra_turns: int = 0  # quarter turns counterclockwise that make it upright, beside those of `picture.rotation`

    @property
    def start_s(self) -> Fraction:
        """The frame's start time, counted from the first frame's."""
        return self.pts * self.time_base
