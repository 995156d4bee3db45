"""The track pass: one decode of the video that finds the face, kept so that the next job skips it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError
from lipsync_core.face.parts import TrackPart
from lipsync_core.face.store import TrackStore, track_key
from lipsync_core.face.track import Arrays, FaceTrack
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import GeneratorSpec, Watching
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.listing import list_frames
from lipsync_core.part_processes import can_copy_this_process, jobs_for_the_machine
from lipsync_core.report import ProgressCallback
from lipsync_core.source_video import SourceVideo
from lipsync_core.track_jobs import TrackWork, announced_frames, frames_until, join_parts, track_by_processes

#: A track covers a multiple of this much of its video, or all of it. So a second sound, a little longer than the
#: first, finds its part tracked, and the look of a frame depends less on earlier requests.
EXTENT_S = 30

#: The parts that others have made of the first frames of a video, as many as are asked for; None for one that is not
#: there.
MadeParts = Callable[[int], Iterable[tuple[range, TrackPart | None]]]


@dataclass(frozen=True, slots=True, eq=False)
class TrackedClip:
    """The face track of a clip and the generator's findings in it."""

    track: FaceTrack
    findings: Arrays
    was_cached: bool


@dataclass(frozen=True, slots=True)
class TrackPass:
    """The tracker, the generator that observes the clip, and the store of the track.

    Raises:
        OptionError: the generator needs a mesh, which the tracker does not give.
    """

    tracker: FaceTracker
    generator: Watching
    store: TrackStore

    def __post_init__(self) -> None:
        require_fitting(self.tracker, self.generator.spec)

    def key(self, video: SourceVideo) -> str:
        """The name under which the track of `video` is kept: 64 hex digits.

        Raises:
            InputMissingError: the video cannot be read.
        """
        spec = self.generator.spec
        observer = f"{spec.name}/{spec.version}" if self.generator.observer() else ""
        return track_key(video.sha256(), self.tracker, observer, _reading(video))

    def run(
        self,
        video: SourceVideo,
        needed_s: Fraction | None,
        clock: StageClock,
        progress: ProgressCallback,
        jobs: int | None = 1,
        made: MadeParts | None = None,
    ) -> TrackedClip:
        """Track at least the first `needed_s` seconds of `video` (None: all of it), or take the stored track.

        `jobs` processes do it, where that is possible; None: as many as the machine is good for. Or it is joined from
        the parts that others have `made`.
        """
        with clock.stage("hash"):
            key = self.key(video)
            stored = self.store.find(key, needed_s)
        if stored is not None:
            return TrackedClip(stored.track, stored.findings, was_cached=True)
        extent_s = extent_of(needed_s)
        jobs = jobs or jobs_for_the_machine(video.picture.size_bytes)
        joined = None
        if made is not None:
            joined = self._joined(video, extent_s, clock, progress, made)
        elif jobs > 1 and can_copy_this_process():
            joined = track_by_processes(self._work(video, extent_s, clock), extent_s, jobs, clock, progress)
        track, findings = joined or self._in_one_pass(video, extent_s, clock, progress)
        track = replace(track, is_complete=extent_s is None or track.duration_s < extent_s)
        with clock.stage("hash"):
            self.store.put(key, track, findings)
        return TrackedClip(track, findings, was_cached=False)

    def _in_one_pass(
        self, video: SourceVideo, extent_s: Fraction | None, clock: StageClock, progress: ProgressCallback
    ) -> tuple[FaceTrack, Arrays]:
        decoded = decode_frames(video.path, clock, extent_s, video.reading)
        observer = self.generator.observer()
        announced = announced_frames(decoded, 0, video.info.frame_count, progress)
        return self.tracker.track(announced, clock, observer), observer.findings() if observer else {}

    def _joined(
        self,
        video: SourceVideo,
        extent_s: Fraction | None,
        clock: StageClock,
        progress: ProgressCallback,
        made: MadeParts,
    ) -> tuple[FaceTrack, Arrays] | None:
        work = self._work(video, extent_s, clock)
        count = frames_until(work.listed, extent_s)
        return join_parts(work, made(count), count, clock, progress) if count else None

    def _work(self, video: SourceVideo, extent_s: Fraction | None, clock: StageClock) -> TrackWork:
        with clock.stage("probe"):
            listed = list_frames(video.path, video.reading, extent_s)
        return TrackWork(video, listed, self.tracker, self.generator)


def extent_of(needed_s: Fraction | None) -> Fraction | None:
    """How much of a video a track covers that is needed for its first `needed_s`; None: all of it."""
    return None if needed_s is None else Fraction(EXTENT_S * max(1, ceil(needed_s / EXTENT_S)))


def require_fitting(tracker: FaceTracker, spec: GeneratorSpec) -> None:
    """Make sure that `tracker` fits the generator of `spec`.

    Raises:
        OptionError: the generator needs a mesh, which the tracker does not give.
    """
    if spec.needs_mesh and not tracker.gives_mesh:
        raise OptionError(
            f"{spec.name} needs a face mesh, and {tracker.name} gives five points",
            "choose the tracker mediapipe, or a model that makes do with five points",
        )


def _reading(video: SourceVideo) -> str:
    """What stored tracks of the same file may not have known; empty for plain videos, whose old tracks stay valid."""
    info = video.info
    number = f"track {info.track} " if info.track else ""
    number += "deinterlaced " if video.is_woven else ""
    if video.size_px is not None:
        number += f"scaled {video.size_px[0]}x{video.size_px[1]} "
    return number + ("mirrored" if info.is_mirrored else "still" if info.is_still else "")
