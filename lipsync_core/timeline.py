"""The timeline: the source frame and the start time of every output frame, in exact arithmetic."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import OptionError
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.stream_checks import require_planned
from lipsync_core.option_specs import Extend
from lipsync_core.options import JobOptions

#: A mouth's fastest movements last about this long: where the source shows a picture for longer, it is shown as several
#: frames, so that the mouth moves (20 frames a second; the longest ones of a film last 1/24 s).
_LONGEST_S = Fraction(1, 20)
_FINE_UNIT_S = Fraction(1, 1000)  # of times between those of the source's frames
_MAX_RATE_DENOMINATOR = 1001


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Timeline:
    """The frames of the output, in order. Times are in units of `time_base`: the source's own, or a part of it."""

    source_indexes: NDArray[np.int32]  # (M,) frames of the source
    pts: NDArray[np.int64]  # (M,) start times, the first at 0, strictly ascending
    time_base: Fraction  # seconds
    last_duration: int  # how long the last frame lasts
    # An excerpt is heard as the whole result is, so that its frames are those of the whole:
    start: int = 0  # when it begins in the whole result
    missed: int = 0  # of the first frame's duration there, the part before the excerpt
    frame_rate: Fraction | None = None  # frames/s, where it is not the source's

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

    def part(self, frames: range) -> "Timeline":
        """The timeline of these frames alone, the first at 0. They are heard as in the whole."""
        first, stop = frames.start, frames.stop
        pts = self.pts[first:stop]
        is_end = stop == len(self)
        return replace(
            self,
            source_indexes=self.source_indexes[first:stop],
            pts=pts - pts[0],
            last_duration=self.last_duration if is_end else int(self.pts[stop] - pts[-1]),
            start=self.start + int(pts[0]),
            missed=self.missed if first == 0 else 0,
        )

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


def plan_timeline(
    track: FaceTrack, audio_duration_s: Fraction, options: JobOptions, lead_s: Fraction = Fraction(0)
) -> Timeline:
    """Lay the frames of `track` under audio of `audio_duration_s`.

    With `length` audio the frames last until the audio ends, the last one perhaps longer: never shorter than the
    audio, and longer by less than a frame. A video that is too short is extended as `options.extend` says, and every
    frame keeps its own duration. A face that is shown without a change for longer than 1/20 s is shown as several
    frames. With `options.fps` all frames last equally long instead, and each is the source's frame of that moment.
    `start_s` and `end_s` cut an excerpt from that: the frames shown within [start, end), with the first one moved to
    time 0.

    Args:
        track: of the source.
        audio_duration_s: from time 0.
        options: of the job.
        lead_s: how long after time 0 the source shows its first picture, which is shown from the beginning.

    Raises:
        OptionError: the excerpt starts at the end of the result or after it.
        LimitError: the result would have more frames, or more a second, than one may.
        ValueError: the track or the audio is empty.
    """
    if not len(track):
        raise ValueError("a timeline needs at least one frame")
    if options.length == "audio" and audio_duration_s <= 0:
        raise ValueError(f"audio of {audio_duration_s} s")
    lead = round(lead_s / track.time_base)  # in whole units, or the video would seem to be too short for itself
    wanted_s = audio_duration_s if options.length == "audio" else track.duration_s + lead * track.time_base
    if options.start_s >= wanted_s:
        raise OptionError(
            f"start ({float(options.start_s):g} s) is after the end of the result ({float(wanted_s):g} s)",
            "choose an earlier start",
        )
    end_s = wanted_s if options.end_s is None else min(wanted_s, options.end_s)
    shown = _shown_until(track, ceil(end_s / track.time_base), options.extend, lead)
    if options.fps is None:
        return _with_own_times(shown, track, end_s, options.start_s)
    regular = _at_rate(shown, track.time_base, options.fps, ceil(end_s * options.fps))
    return replace(_excerpt(regular, 1 / options.fps, options.start_s), frame_rate=options.fps)


def source_s_needed(audio_duration_s: Fraction, options: JobOptions) -> Fraction | None:
    """The longest part of the video, from its start, that the result can show, in seconds; None means all of it."""
    if options.length == "audio":
        return audio_duration_s if options.end_s is None else min(audio_duration_s, options.end_s)
    return options.end_s


def _shown_until(track: FaceTrack, end: int, extend: Extend, lead: int) -> _Shown:
    """The frames that start before `end` (units of the track's time_base), with the video extended as needed.

    The first one is shown for `lead` longer, before it moves.
    """
    pts = track.frame_pts
    own_durations = np.diff(pts, append=pts[-1] + track.last_duration)
    indexes, durations = np.arange(len(pts)), own_durations.copy()
    durations[0] += lead
    missing = end - int(durations.sum())
    if missing > 0:
        cycle = _cycle(own_durations, extend)
        times = -(-missing // int(cycle.durations.sum()))
        require_planned(len(indexes) + times * len(cycle.indexes), end * track.time_base)
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


def _with_own_times(shown: _Shown, track: FaceTrack, end_s: Fraction, start_s: Fraction) -> Timeline:
    """The timeline from `start_s` to `end_s` whose frames last as in the source, but a face not for too long."""
    moving, unit_s = _moving(shown, track.time_base, track.has_face)
    moving = _ended(moving, ceil(end_s / unit_s), ceil(_LONGEST_S / unit_s))
    timeline = _excerpt(moving, unit_s, start_s)
    if not (np.diff(moving.indexes) == 0).any():
        return timeline
    rate = Fraction(len(moving.indexes)) / (int(moving.durations.sum()) * unit_s)
    return replace(timeline, frame_rate=rate.limit_denominator(_MAX_RATE_DENOMINATOR))


def _at_rate(shown: _Shown, unit_s: Fraction, rate: Fraction, count: int) -> _Shown:
    """`count` frames of `rate` a second, each that of `shown` which is seen in the middle of its time; in 1/rate s."""
    require_planned(count, count / rate)
    middle = 1 / (2 * rate * unit_s)  # of the first one, in the units of `shown`
    moments = (2 * np.arange(count, dtype=np.int64) + 1) * middle.numerator // middle.denominator
    starts = np.cumsum(shown.durations) - shown.durations
    chosen = np.searchsorted(starts, moments, side="right") - 1
    return _Shown(shown.indexes[chosen], np.ones(count, np.int64))


def _moving(shown: _Shown, unit_s: Fraction, has_face: NDArray[np.bool_]) -> tuple[_Shown, Fraction]:
    """The frames with those that show a face for too long cut into equal pieces, and the unit of their durations."""
    longest = _LONGEST_S / unit_s
    pieces = -(-shown.durations * longest.denominator // longest.numerator)  # (M,)
    pieces = np.where(has_face[shown.indexes], pieces.clip(1), 1)
    require_planned(int(pieces.sum()), int(shown.durations.sum()) * unit_s)
    if pieces.max() == 1:
        return shown, unit_s
    finer = max(1, ceil(unit_s / _FINE_UNIT_S))
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # of a piece in its frame
    durations, of = np.repeat(shown.durations * finer, pieces), np.repeat(pieces, pieces)
    cut = durations * (number + 1) // of - durations * number // of
    return _Shown(np.repeat(shown.indexes, pieces), cut), unit_s / finer


def _ended(shown: _Shown, end: int, longest: int) -> _Shown:
    """The frames that start before `end`, the last of which ends there if it lasted longer than `longest` beyond it."""
    starts = np.cumsum(shown.durations) - shown.durations
    count = int(np.searchsorted(starts, end, side="left"))
    durations = shown.durations[:count].copy()
    durations[-1] = min(int(durations[-1]), max(end - int(starts[count - 1]), longest))
    return _Shown(shown.indexes[:count], durations)


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
