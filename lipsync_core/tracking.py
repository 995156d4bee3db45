"""The track pass: one decode of the video that finds the face, kept so that the next job skips it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.store import TrackStore, track_key
from lipsync_core.face.track import FaceTrack, FaceTracker
from lipsync_core.generators.contract import Generator
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.report import Progress, ProgressCallback

#: A track covers a multiple of this much of its video, or all of it. So a second sound, a little longer than the
#: first, finds its part tracked, and what a frame looks like hangs less on what was asked for before.
EXTENT_S = 30
_PROGRESS_EVERY = 5  # frames


@dataclass(frozen=True, slots=True, eq=False)
class TrackedClip:
    """The face in a clip and what the generator found there."""

    track: FaceTrack
    findings: dict[str, NDArray[np.generic]]
    was_cached: bool


@dataclass(frozen=True, slots=True)
class TrackPass:
    """How to track: by whom, for which generator, kept where."""

    tracker: FaceTracker
    generator: Generator
    store: TrackStore

    def run(
        self, video: Path, needed_s: Fraction | None, total: int | None, clock: StageClock, progress: ProgressCallback
    ) -> TrackedClip:
        """Track at least the first `needed_s` seconds of `video` (None: all of it), or take the stored track.

        `total` is how many frames the video announces, for the progress alone.
        """
        spec, observer = self.generator.spec, self.generator.observer()
        with clock.stage("hash"):
            key = track_key(video, self.tracker, f"{spec.name}/{spec.version}" if observer else "")
            stored = self.store.find(key, needed_s)
        if stored is not None:
            return TrackedClip(stored.track, stored.findings, was_cached=True)
        extent_s = None if needed_s is None else Fraction(EXTENT_S * max(1, ceil(needed_s / EXTENT_S)))
        frames = _announced(decode_frames(video, clock, extent_s), total, progress)
        track = self.tracker.track(frames, clock, observer)
        is_complete = extent_s is None or track.duration_s < extent_s
        track = replace(track, is_complete=is_complete)
        findings = observer.findings() if observer else {}
        with clock.stage("hash"):
            self.store.put(key, track, findings)
        return TrackedClip(track, findings, was_cached=False)


def _announced(frames: Iterable[SourceFrame], total: int | None, progress: ProgressCallback) -> Iterator[SourceFrame]:
    for frame in frames:
        if frame.index % _PROGRESS_EVERY == 0:
            progress(Progress("track", frame.index, total))
        yield frame
