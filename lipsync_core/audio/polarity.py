"""Stereo whose channels are each other's inverse: it would mix to silence, though people hear it well.

Wrongly wired microphones and some effects give such sound. It is looked for in each second of a sound's own time, and
there the right channel is turned over before the mix, so that what a second gives depends on that second and the one
before alone. All other sound passes unchanged.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.mixing import SILENT_BYTE
from lipsync_core.media.sound_frames import frame_like

#: The sum of left and right, beside the difference, below which they count as inverse: a correlation below -.82. Wide
#: stereo of music stays above -.5.
_INVERSE_SHARE = 0.1
_FADES_A_SECOND = 50  # from one polarity to the other in 20 ms, without a click
_PAIRED = ("FL", "FR")  # the first two channels of all layouts with a left and a right one


def in_phase(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """`frames` with the right channel turned over in each second in which it is the inverse of the left.

    They are alike in format, layout and rate, and the first begins with a second of the sound.
    """
    before: float | None = None
    for second in seconds_of(frames):
        gain = -1.0 if is_inverse(second) else 1.0
        before = gain if before is None else before
        yield second if before == gain == 1.0 else _turned(second, before, gain)
        before = gain


def seconds_of(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """Join and cut frames with a pair so that each holds one second; the last may be shorter. Others pass unchanged."""
    held: list[NDArray[Any]] = []  # (C or 1, n) each
    count = position = 0
    last: av.AudioFrame | None = None
    for frame in frames:
        if not _has_pair(frame):
            yield frame
            continue
        last = frame
        held.append(frame.to_ndarray())
        count += frame.samples
        while count >= frame.sample_rate:
            joined = np.concatenate(held, axis=1)
            width = joined.shape[1] // count  # 1, or the number of channels where they are interleaved
            second, rest = np.split(joined, [frame.sample_rate * width], axis=1)
            yield _at(position, frame, second)
            held, count, position = [rest], count - frame.sample_rate, position + frame.sample_rate
    if last is not None and count:
        yield _at(position, last, np.concatenate(held, axis=1))


def _at(position: int, like: av.AudioFrame, samples: NDArray[Any]) -> av.AudioFrame:
    """A frame of `samples` that begins at sample `position`."""
    frame = frame_like(like, samples, like.layout.name)
    frame.pts, frame.time_base = position, Fraction(1, like.sample_rate)
    return frame


def _has_pair(frame: av.AudioFrame) -> bool:
    return tuple(channel.name for channel in frame.layout.channels[:2]) == _PAIRED


def _channels(frame: av.AudioFrame) -> NDArray[np.float32]:
    """(C, N), silence at 0; empty where there is no pair."""
    if not _has_pair(frame):
        return np.empty((0, 0), np.float32)
    return _rows(frame, frame.to_ndarray()).astype(np.float32) - np.float32(_middle(frame))


def is_inverse(second: av.AudioFrame) -> bool:
    """Whether left and right cancel each other, and nothing else would be left of the mix."""
    channels = _channels(second)  # (C, N)
    if not len(channels):
        return False
    left, right, *others = channels
    heard = _energy(left + right) + 4.0 * sum(map(_energy, others))
    return heard < _INVERSE_SHARE * _energy(left - right)


def _energy(samples: NDArray[np.float32]) -> float:
    return float(np.dot(samples, samples))


def _turned(frame: av.AudioFrame, before: float, gain: float) -> av.AudioFrame:
    """The frame with its right channel multiplied by `gain`, faded in from that of the second before."""
    turned = frame.to_ndarray().copy()
    rows = _rows(frame, turned)
    gains = np.full(frame.samples, gain)
    fade = min(frame.samples, frame.sample_rate // _FADES_A_SECOND)
    gains[:fade] = np.linspace(before, gain, fade, endpoint=False)
    middle = _middle(frame)
    right = middle + gains * (rows[1].astype(np.float64) - middle)
    if turned.dtype.kind in "iu":
        limits = np.iinfo(turned.dtype.name)
        right = np.clip(np.rint(right), limits.min, limits.max)
    rows[1] = right.astype(turned.dtype)
    return _at(frame.pts or 0, frame, turned)


def _rows(frame: av.AudioFrame, samples: NDArray[Any]) -> NDArray[Any]:
    """(C, N) view of the `samples` of a frame like `frame`."""
    return samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T


def _middle(frame: av.AudioFrame) -> int:
    return SILENT_BYTE if frame.format.name.startswith("u8") else 0
