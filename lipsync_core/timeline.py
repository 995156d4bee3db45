"""The timeline: the source frame and the start time of every output frame, in exact arithmetic."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import OptionError
from lipsync_core.face.track import FaceTrack
from lipsync_core.option_specs import Extend
from lipsync_core.options import JobOptions


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Timeline:
    """The frames of the output, in order. Times are in units of `time_base`, the source's own."""

    source_indexes: NDArray[np.int32]  # (M,) frames of the source
    pts: NDArray[np.int64]  # (M,) start times, the first at 0, strictly ascending
    time_base: Fraction  # seconds
    last_duration: int  # how long the last frame lasts
    # An excerpt is heard as the whole result is, so that its frames are those of the whole:
    start: int = 0  # when it begins in the whole result
    missed: int = 0  # of the first frame's duration there, the part before the excerpt

    def __post_init__(self) -> None:
        if self.source_indexes.shape != self.pts.shape or self.pts.ndim != 1:
            raise ValueError(f"source indexes {self.source_indexes.shape} for pts {self.pts.shape}")

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        return f"Timeline({len(self)} frames, {float(self.duration_s):.3f} s)"

    @property
    def duration_s(self) -> Fraction:
        """From the first frame's start to the last frame's end."""
        return (int(self.pts[-1]) + self.last_duration) * self.time_base if len(self) else Fraction(0)

    def starts_s(self) -> NDArray[np.float64]:
        """(M,) when each frame appears on the screen, seconds from the start of the whole result."""
        return np.asarray(self._whole_pts() * float(self.time_base), np.float64)

    def middles_s(self) -> NDArray[np.float64]:
        """(M,) the middle of each frame's time on the screen, seconds from the start of the whole result."""
        pts = self._whole_pts()
        ends = np.append(pts[1:], pts[-1:] + self.last_duration + (self.missed if len(self) == 1 else 0))
        return np.asarray((pts + ends) * (float(self.time_base) / 2), np.float64)

    def _whole_pts(self) -> NDArray[np.int64]:
        """(M,) start times in the whole result."""
        pts = self.pts + self.start
        pts[:1] -= self.missed
        return pts


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """Frames in display order, each with its own duration."""

    indexes: NDArray[np.int64]  # (M,)
    durations: NDArray[np.int64]  # (M,) in units of the source's time_base


def plan_timeline(track: FaceTrack, audio_duration_s: Fraction, options: JobOptions) -> Timeline:
    """Lay the frames of `track` under audio of `audio_duration_s`.

    With `length` audio the frames last until the audio ends, the last one perhaps longer: never shorter than the
    audio, and longer by less than a frame. A video that is too short is extended as `options.extend` says, and every
    frame keeps its own duration. `start_s` and `end_s` cut an excerpt from that: the frames shown within
    [start, end), with the first one moved to time 0.

    Raises:
        OptionError: the excerpt starts at the end of the result or after it.
        ValueError: the track or the audio is empty.
    """
    if not len(track):
        raise ValueError("a timeline needs at least one frame")
    if options.length == "audio" and audio_duration_s <= 0:
        raise ValueError(f"audio of {audio_duration_s} s")
    wanted_s = audio_duration_s if options.length == "audio" else track.duration_s
    if options.start_s >= wanted_s:
        raise OptionError(
            f"start ({float(options.start_s):g} s) is after the end of the result ({float(wanted_s):g} s)",
            "choose an earlier start",
        )
    end_s = wanted_s if options.end_s is None else min(wanted_s, options.end_s)
    shown = _shown_until(track, ceil(end_s / track.time_base), options.extend)
    return _excerpt(shown, track.time_base, options.start_s)


def source_s_needed(audio_duration_s: Fraction, options: JobOptions) -> Fraction | None:
    """The longest part of the video, from its start, that the result can show, in seconds; None means all of it."""
    if options.length == "audio":
        return audio_duration_s if options.end_s is None else min(audio_duration_s, options.end_s)
    return options.end_s


def _shown_until(track: FaceTrack, end: int, extend: Extend) -> _Shown:
    """The frames that start before `end` (units of the track's time_base), with the video extended as needed."""
    pts = track.frame_pts
    durations = np.diff(pts, append=pts[-1] + track.last_duration)
    indexes = np.arange(len(pts))
    missing = end - int(durations.sum())
    if missing > 0:
        cycle = _cycle(durations, extend)
        times = -(-missing // int(cycle.durations.sum()))
        indexes = np.concatenate([indexes, np.tile(cycle.indexes, times)])
        durations = np.concatenate([durations, np.tile(cycle.durations, times)])
    starts = np.cumsum(durations) - durations
    count = int(np.searchsorted(starts, end, side="left"))
    return _Shown(indexes[:count], durations[:count])


def _cycle(durations: NDArray[np.int64], extend: Extend) -> _Shown:
    """The frames that extend the video after its last frame, repeated as often as needed."""
    count = len(durations)
    if extend == "freeze":
        median = max(1, int(np.median(durations)))
        return _Shown(np.array([count - 1]), np.array([median]))
    if extend == "loop" or count == 1:
        return _Shown(np.arange(count), durations)
    there_and_back = np.concatenate([np.arange(count - 2, -1, -1), np.arange(1, count)])  # end frames once each
    return _Shown(there_and_back, durations[there_and_back])


def _excerpt(shown: _Shown, time_base: Fraction, start_s: Fraction) -> Timeline:
    """The timeline from `start_s` on; the frame shown at that moment keeps only the rest of its duration."""
    start = floor(start_s / time_base)
    ends = np.cumsum(shown.durations)
    first = int(np.searchsorted(ends, start, side="right"))
    begins = ends[first:] - shown.durations[first:] - start
    pts = np.maximum(begins, 0)
    return Timeline(
        source_indexes=shown.indexes[first:].astype(np.int32),
        pts=pts,
        time_base=time_base,
        last_duration=int(ends[-1] - start - pts[-1]),
        start=start,
        missed=int(pts[0] - begins[0]),
    )
