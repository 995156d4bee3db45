"""The holes that the timestamps of a sound leave, filled with silence."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

from lipsync_core.media.mixing import SILENT_BYTE
from lipsync_core.media.sound_frames import frame_like

#: If the timestamps run ahead of the samples by more than this, sound is missing. A smaller difference is
#: jitter: Matroska rounds to 1 ms, transport streams and phone recordings wobble by a frame (20 to 40 ms).
MAX_JITTER_S = Fraction(50, 1000)
#: A longer jump is a fault of the timestamps, not a pause, and is not filled.
MAX_GAP_S = Fraction(60)
_SILENCE_BLOCK = 16384  # samples
_AHEAD_S = Fraction(2)  # in which a gap has to last


def gapless(
    frames: Iterable[av.AudioFrame], lead_s: Fraction, max_gap_s: Fraction, count: int = 0
) -> Iterator[av.AudioFrame]:
    """Fill `lead_s` before the first sample, and the holes that the timestamps leave, with silence.

    `count` samples lie before the first frame.
    """
    anchor_s: Fraction | None = None  # the stream's time at sample 0
    source, ahead = iter(frames), deque[av.AudioFrame]()
    while frame := ahead.popleft() if ahead else next(source, None):
        if not count and lead_s:
            count = round(lead_s * frame.sample_rate)
            yield from _silence(frame, count)
        if frame.pts is not None and frame.time_base is not None:
            time_s = frame.pts * frame.time_base
            anchor_s = time_s - Fraction(count, frame.sample_rate) if anchor_s is None else anchor_s
            gap_s = time_s - anchor_s - Fraction(count, frame.sample_rate)
            if MAX_JITTER_S < gap_s <= max_gap_s:
                _look_ahead(source, ahead)
                lasting_s = _lasting_gap_s(gap_s, time_s, (frame, *ahead))
                if lasting_s > MAX_JITTER_S:
                    missing = round(lasting_s * frame.sample_rate)
                    count += missing
                    yield from _silence(frame, missing)
            elif abs(gap_s) > MAX_JITTER_S:
                anchor_s += gap_s
        count += frame.samples
        yield frame


def _look_ahead(source: Iterator[av.AudioFrame], ahead: deque[av.AudioFrame]) -> None:
    """Take frames from `source` until `ahead` holds `_AHEAD_S`."""
    while sum(Fraction(frame.samples, frame.sample_rate) for frame in ahead) < _AHEAD_S:
        following = next(source, None)
        if following is None:
            return
        ahead.append(following)


def _lasting_gap_s(gap_s: Fraction, time_s: Fraction, frames: Iterable[av.AudioFrame]) -> Fraction:
    """What is left of a gap before the first of `frames`, at `time_s`, in all of them.

    FFmpeg's MP4s with a fragment for each frame state most times a frame too late, and some rightly.
    """
    least_s, expected_s = gap_s, time_s
    for frame in frames:
        if frame.pts is not None and frame.time_base is not None:
            left_s = gap_s + frame.pts * frame.time_base - expected_s
            if left_s >= -MAX_JITTER_S:  # else the times were set back
                least_s = min(least_s, left_s)
        expected_s += Fraction(frame.samples, frame.sample_rate)
    return least_s


def _silence(like: av.AudioFrame, count: int) -> Iterator[av.AudioFrame]:
    channels = like.layout.nb_channels
    value = SILENT_BYTE if like.format.name.startswith("u8") else 0
    dtype = like.to_ndarray().dtype
    for first in range(0, count, _SILENCE_BLOCK):
        length = min(_SILENCE_BLOCK, count - first)
        shape = (channels, length) if like.format.is_planar else (1, length * channels)
        yield frame_like(like, np.full(shape, value, dtype), like.layout.name)
