"""A face track that is made in parts, each from a frame at which a follower may begin.

A part begins with a search, and so does a follower that comes from the frames before. Where both are in the same state
after that frame they go on alike, so the part is what the follower would have come to, to the bit. Where they are not
(another face was chosen, or the face was only lost for a moment), the part is made again from the follower's state.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.cuts import WARM_UP_FRAMES
from lipsync_core.face.shots import part_starts
from lipsync_core.face.track import Arrays, FaceTrack, ReadArrays
from lipsync_core.face.tracker import ClipObserver, FaceTracker, Follower, recorded
from lipsync_core.media.source_frame import SourceFrame

_PER_FRAME = ("frame_pts", "boxes", "scores", "landmarks", "covered")  # arrays of a track, with a row a frame


@dataclass(frozen=True, slots=True, eq=False)
class TrackPart:
    """The track of some frames of a video."""

    frames: range
    track: FaceTrack  # of these frames alone
    begun: Arrays  # the follower's state before the first of them
    ended: Arrays  # and after the last one
    observed: Arrays  # by the observer of these frames; empty without one


def divided_track(frame_pts: NDArray[np.int64], time_base: Fraction, count: int, most: int) -> tuple[range, ...]:
    """The first `count` frames of a video in `most` parts of nearly equal size, or in fewer.

    The frame from which a follower begins belongs to the part before: both follow the face in it.
    """
    starts = part_starts(frame_pts[:count], time_base)
    wanted = [count * number // most for number in range(1, most)]
    nearest = {int(starts[np.abs(starts - frame).argmin()]) for frame in wanted} if len(starts) else set()
    edges = [0, *(start + 1 for start in sorted(nearest) if start + 1 < count), count]
    return tuple(range(first, stop) for first, stop in pairwise(edges))


def frames_to_read(frames: range, is_continued: bool) -> range:
    """The frames that `track_part` has to see for a part of these frames."""
    if is_continued or frames.start == 0:
        return frames
    return range(max(0, frames.start - 1 - WARM_UP_FRAMES), frames.stop)


def track_part(
    tracker: FaceTracker,
    frames: range,
    pictures: Iterable[SourceFrame],
    observer: ClipObserver | None,
    clock: StageClock,
    state: ReadArrays | None = None,
    *,
    is_counted: bool = True,
) -> TrackPart:
    """Track the face in `frames`. `pictures` are those of `frames_to_read`; `state` is that of the part before."""
    follower = tracker.follower(state or None)
    pictures = iter(pictures)
    if not state and frames.start > 0:
        _begin(follower, frames.start - 1, pictures, clock)
    begun = follower.state()
    track = recorded(tracker, follower, pictures, clock, observer, is_counted=is_counted)
    return TrackPart(frames, track, begun, follower.state(), observer.observed() if observer else {})


def _begin(follower: Follower, first: int, pictures: Iterator[SourceFrame], clock: StageClock) -> None:
    """Show `follower` the frames up to `first`, the first one that it follows."""
    for picture in pictures:
        with clock.stage("track"):
            if picture.index >= first:
                follower.follow(picture)
                return
            follower.warm(picture)


class JoinedParts:
    """Joins the parts of a track, in order. Each is copied to its place at once, so that nothing is there twice."""

    def __init__(self, observer: ClipObserver | None, frames: int) -> None:
        """`observer` takes in what those of the parts have seen; `frames` are those of all parts."""
        self._observer = observer
        self._frames = frames
        self._arrays: dict[str, NDArray[Any]] = {}
        self._last: FaceTrack | None = None
        self._done = 0  # frames
        self.ended: Arrays = {}  # the follower's state after the last part

    def goes_on_with(self, part: TrackPart) -> bool:
        """Whether `part` is what the follower of the parts so far would have come to."""
        begun, ended = part.begun, self.ended
        return self._last is None or (
            begun.keys() == ended.keys() and all(np.array_equal(begun[name], ended[name]) for name in begun)
        )

    def add(self, part: TrackPart) -> None:
        """Add the next part."""
        for name in _PER_FRAME:
            rows = getattr(part.track, name)
            if name not in self._arrays:
                self._arrays[name] = np.zeros((self._frames, *rows.shape[1:]), rows.dtype)
            self._arrays[name][part.frames.start : part.frames.stop] = rows
        self._last, self._done, self.ended = part.track, part.frames.stop, part.ended
        if self._observer is not None:
            self._observer.absorb(part.observed)

    def findings(self) -> Arrays:
        """Those of the observer in all parts."""
        return self._observer.findings() if self._observer else {}

    def track(self) -> FaceTrack | None:
        """The track of all frames; None where parts are missing."""
        if self._last is None or self._done < self._frames:
            return None
        rows = self._arrays
        return replace(
            self._last,
            frame_pts=rows["frame_pts"],
            boxes=rows["boxes"],
            scores=rows["scores"],
            landmarks=rows["landmarks"],
            covered=rows["covered"],
        )
