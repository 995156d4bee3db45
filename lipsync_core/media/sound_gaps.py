"""The holes that the timestamps of a sound leave, filled with silence."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np

from lipsync_core.limit_errors import DurationLimitError
from lipsync_core.media.mixing import SILENT_BYTE
from lipsync_core.media.sound_frames import frame_like, part_of

#: If the timestamps run ahead of the samples by more than this, sound is missing. A smaller difference is
#: jitter: Matroska rounds to 1 ms, transport streams and phone recordings wobble by a frame (20 to 40 ms).
MAX_JITTER_S = Fraction(50, 1000)
#: The same where it comes from one frame to the next, and stays: packets were lost, 20 ms each or more.
STEP_S = Fraction(10, 1000)
#: The same behind the first frame: FFmpeg's fragmented MP4s begin with one of priming, and go on as the picture does.
FIRST_JITTER_S = Fraction(5, 1000)
#: The same in a file that was joined of several: what is missing at each join adds up.
JOINED_JITTER_S = Fraction(5, 1000)
#: A longer jump is a fault of the timestamps, not a pause, and is not filled.
MAX_GAP_S = Fraction(60)
_MIN_OVERLAP_S, _MAX_OVERLAP_S = Fraction(3, 1000), Fraction(1)
_OVERLAP_FRAMES = 8  # behind the first that overlaps, which have to follow it
#: A recorder that leaves pauses out may write an hour for a minute of speech; more is of wrong times.
_MOST_SILENCE_S, _MOST_SILENCE = Fraction(600), 60
_SILENCE_BLOCK = 16384  # samples
_AHEAD_S, _AHEAD_FRAMES = Fraction(2), 512  # in which a gap has to last


def gapless(
    frames: Iterable[av.AudioFrame],
    lead_s: Fraction,
    max_gap_s: Fraction,
    count: int = 0,
    jitter_s: Fraction = MAX_JITTER_S,
    name: str = "the sound",
) -> Iterator[av.AudioFrame]:
    """Fill `lead_s` before the first sample, and the holes that the timestamps leave, with silence.

    `count` samples lie before the first frame. A hole up to `jitter_s` is none.

    Raises:
        DurationLimitError: the holes of the sound called `name` are beyond all measure.
    """
    source, ahead = iter(frames), deque[av.AudioFrame]()
    holes = _Holes(name)
    passing = 0  # frames whose gap is known not to last
    given = 2 if count else 0
    while frame := ahead.popleft() if ahead else next(source, None):
        if not count and lead_s:
            count = round(lead_s * frame.sample_rate)
            yield from _silence(frame, count)
        time_s = _time_s(frame)
        if time_s is not None:
            gap_s = holes.gap_s(time_s, Fraction(count, frame.sample_rate))
            step_s = FIRST_JITTER_S if given == 1 else STEP_S
            least_s = min(jitter_s, step_s) if holes.risen_s > step_s else jitter_s
            if least_s < gap_s <= max_gap_s:
                if not passing:
                    gap_s, passing = _lasting_gap(gap_s, frame, source, ahead, least_s)
                    missing = holes.fill(gap_s, count, frame.sample_rate)
                    count += missing
                    yield from _silence(frame, missing)
            elif abs(gap_s) > jitter_s:
                holes.leave(gap_s)
        passing = max(0, passing - 1)
        count += frame.samples
        given += 1
        yield frame


class _Holes:
    """Those of the sound called `name`, as its frames come with their times."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._silence_s = Fraction(0)  # in holes that were filled
        self._anchor_s: Fraction | None = None  # the stream's time at sample 0
        self._last_s = Fraction(0)
        self.risen_s = Fraction(0)  # by how much the last gap is longer than the one before

    def gap_s(self, time_s: Fraction, placed_s: Fraction) -> Fraction:
        """How much later a frame's time is than its place among the samples."""
        if self._anchor_s is None:
            self._anchor_s = time_s - placed_s
        gap_s = time_s - self._anchor_s - placed_s
        self.risen_s, self._last_s = gap_s - self._last_s, gap_s
        return gap_s

    def fill(self, gap_s: Fraction, count: int, rate_hz: int) -> int:
        """How many samples a hole takes that begins behind `count` of them; raises as `gapless`."""
        missing = round(gap_s * rate_hz)
        self._last_s -= gap_s
        self._silence_s += gap_s
        heard_s = Fraction(count + missing, rate_hz) - self._silence_s
        if self._silence_s > _MOST_SILENCE_S + _MOST_SILENCE * heard_s:
            raise DurationLimitError(f"{self._name} is nearly all holes in time", "give a sound without them")
        return missing

    def leave(self, gap_s: Fraction) -> None:
        """Take the times as they are from here on."""
        self._anchor_s = (self._anchor_s or Fraction(0)) + gap_s
        self._last_s = Fraction(0)


def without_overlaps(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """`frames` without samples at times at which there was sound already, where that lasts.

    Joined parts overlap: each codec pads the end of its part, and begins the next one with its priming.
    """
    source, ahead = iter(frames), deque[av.AudioFrame]()
    end_s: Fraction | None = None  # of the sound so far
    while frame := ahead.popleft() if ahead else next(source, None):
        time_s, length_s = _time_s(frame), Fraction(frame.samples, frame.sample_rate)
        over_s = Fraction(0) if end_s is None or time_s is None else end_s - time_s
        if _MIN_OVERLAP_S < over_s <= _MAX_OVERLAP_S and _lasts(frame, source, ahead):
            dropped = min(frame.samples, round(over_s * frame.sample_rate))
            if dropped == frame.samples:
                continue
            frame = part_of(frame, dropped, frame.samples)
            time_s, length_s = end_s, Fraction(frame.samples, frame.sample_rate)
            _set_time(frame, time_s)
        if time_s is not None:
            end_s = time_s + length_s
        elif end_s is not None:
            end_s += length_s
        yield frame


def _lasts(first: av.AudioFrame, source: Iterator[av.AudioFrame], ahead: deque[av.AudioFrame]) -> bool:
    """Whether the frames behind `first` follow it in time, so that it is not `first` alone whose time is wrong."""
    while len(ahead) < _OVERLAP_FRAMES and (following := next(source, None)) is not None:
        ahead.append(following)
    due_s = _time_s(first)
    for before, frame in pairwise((first, *ahead)):
        time_s = _time_s(frame)
        if due_s is None or time_s is None:
            return False
        due_s += Fraction(before.samples, before.sample_rate)
        if abs(time_s - due_s) > _MIN_OVERLAP_S:
            return False
    return True


def _set_time(frame: av.AudioFrame, time_s: Fraction | None) -> None:
    if time_s is not None and frame.time_base is not None:
        frame.pts = round(time_s / frame.time_base)


def _lasting_gap(
    gap_s: Fraction,
    first: av.AudioFrame,
    source: Iterator[av.AudioFrame],
    ahead: deque[av.AudioFrame],
    jitter_s: Fraction,
) -> tuple[Fraction, int]:
    """What is left of a gap before `first` in all of the frames after it, and 0; 0 and their number where it passes.

    It passes with the first frame that is in time again. FFmpeg's MP4s with a fragment for each frame state most times
    a frame too late, and some rightly. The frames are taken from `source` and left in `ahead`.
    """
    least_s, start_s, expected_s = gap_s, _time_s(first), Fraction(first.samples, first.sample_rate)
    for number in range(_AHEAD_FRAMES):
        if expected_s >= _AHEAD_S:
            break
        if number == len(ahead):
            following = next(source, None)
            if following is None:
                break
            ahead.append(following)
        frame = ahead[number]
        time_s = _time_s(frame)
        if start_s is not None and time_s is not None:
            left_s = gap_s + time_s - start_s - expected_s
            if abs(left_s) <= jitter_s:
                return Fraction(0), number + 1
            if left_s > 0:  # else the times were set back
                least_s = min(least_s, left_s)
        expected_s += Fraction(frame.samples, frame.sample_rate)
    return least_s, 0


def _time_s(frame: av.AudioFrame) -> Fraction | None:
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def _silence(like: av.AudioFrame, count: int) -> Iterator[av.AudioFrame]:
    channels = like.layout.nb_channels
    value = SILENT_BYTE if like.format.name.startswith("u8") else 0
    dtype = like.to_ndarray().dtype
    for first in range(0, count, _SILENCE_BLOCK):
        length = min(_SILENCE_BLOCK, count - first)
        shape = (channels, length) if like.format.is_planar else (1, length * channels)
        yield frame_like(like, np.full(shape, value, dtype), like.layout.name)
