"""The track pass: one decode of the video that finds the face, kept so that the next job skips it."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError
from lipsync_core.face.store import TrackStore, track_key
from lipsync_core.face.track import Arrays, FaceTrack
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import GeneratorSpec, InferringHalf
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.listing import list_frames
from lipsync_core.part_processes import can_copy_this_process, jobs_for_the_machine
from lipsync_core.report import ProgressCallback
from lipsync_core.source_video import SourceVideo
from lipsync_core.track_jobs import TrackWork, announced_frames, track_by_processes

#: A track covers a multiple of this much of its video, or all of it. So a second sound, a little longer than the
#: first, finds its part tracked, and the look of a frame depends less on earlier requests.
EXTENT_S = 30


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
    generator: InferringHalf
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
    ) -> TrackedClip:
        """Track at least the first `needed_s` seconds of `video` (None: all of it), or take the stored track.

        `jobs` processes do it, where that is possible; None: as many as the machine is good for.
        """
        with clock.stage("hash"):
            key = self.key(video)
            stored = self.store.find(key, needed_s)
        if stored is not None:
            return TrackedClip(stored.track, stored.findings, was_cached=True)
        extent_s = None if needed_s is None else Fraction(EXTENT_S * max(1, ceil(needed_s / EXTENT_S)))
        track, findings = self._made(video, extent_s, clock, progress, jobs)
        with clock.stage("hash"):
            self.store.put(key, track, findings)
        return TrackedClip(track, findings, was_cached=False)

    def _made(
        self,
        video: SourceVideo,
        extent_s: Fraction | None,
        clock: StageClock,
        progress: ProgressCallback,
        jobs: int | None,
    ) -> tuple[FaceTrack, Arrays]:
        """The track of the first `extent_s`, and the findings in it."""
        jobs = jobs or jobs_for_the_machine(video.picture.size_bytes)
        made = self._made_beside(video, extent_s, clock, progress, jobs) if jobs > 1 else None
        if made is None:
            decoded = decode_frames(video.path, clock, extent_s, video.reading)
            observer = self.generator.observer()
            announced = announced_frames(decoded, 0, video.info.frame_count, progress)
            made = self.tracker.track(announced, clock, observer), observer.findings() if observer else {}
        track, findings = made
        return replace(track, is_complete=extent_s is None or track.duration_s < extent_s), findings

    def _made_beside(
        self,
        video: SourceVideo,
        extent_s: Fraction | None,
        clock: StageClock,
        progress: ProgressCallback,
        jobs: int,
    ) -> tuple[FaceTrack, Arrays] | None:
        """As `_made`, by several processes; None where they cannot."""
        if not can_copy_this_process():
            return None
        with clock.stage("probe"):
            listed = list_frames(video.path, video.reading)
        return track_by_processes(
            TrackWork(video, listed, self.tracker, self.generator), extent_s, jobs, clock, progress
        )


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
