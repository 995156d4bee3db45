"""Frames of sound made from other ones."""

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_FLOATING = ("flt", "dbl")  # FFmpeg's names of sample formats begin so
_LOUDEST = 1000.0  # times full scale; more is no sound


def frame_like(frame: av.AudioFrame, samples: NDArray[Any], layout: str) -> av.AudioFrame:
    """A frame of `samples` and `layout`, with the format, rate and time of `frame`."""
    copy = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=frame.format.name, layout=layout)
    copy.sample_rate = frame.sample_rate
    copy.pts = frame.pts
    copy.time_base = frame.time_base
    return copy


def part_of(frame: av.AudioFrame, first: int, last: int) -> av.AudioFrame:
    """The samples [first, last) of `frame`, with its time."""
    samples = frame.to_ndarray()
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    return frame_like(frame, samples[:, first * width : last * width], frame.layout.name)


def with_finite_samples(frame: av.AudioFrame) -> av.AudioFrame:
    """`frame` without the numbers that no sound has, which would spread through all that is computed of it."""
    if not frame.format.name.startswith(_FLOATING):
        return frame
    samples = frame.to_ndarray()
    if np.abs(samples).max(initial=0) < _LOUDEST:  # false for what is no number
        return frame
    return frame_like(frame, np.nan_to_num(samples, nan=0.0).clip(-1.0, 1.0), frame.layout.name)
