"""The contract of the trackers: each follows one face from frame to frame, and can begin inside a video."""

from collections.abc import Iterable
from typing import Protocol

from lipsync_core.clock import StageClock
from lipsync_core.execution import Provider
from lipsync_core.face.landmarks import FIVE_POINTS, KEPT
from lipsync_core.face.recorder import TrackRecorder
from lipsync_core.face.track import Arrays, FaceTrack, ReadArrays, TrackedFace
from lipsync_core.media.source_frame import SourceFrame


class ClipObserver(Protocol):
    """Looks at every frame of the track pass, so that a generator's own analysis costs no second decode.

    What it finds does not depend on how the frames are divided among observers of the same kind.
    """

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        """Look at one frame that has a face; called in the order of the frames."""

    def observed(self) -> Arrays:
        """All that it keeps, for `absorb`."""

    def absorb(self, observed: ReadArrays) -> None:
        """Take in what another observer has seen of later frames."""

    def findings(self) -> Arrays:
        """What is stored beside the face track."""


class Follower(Protocol):
    """Follows one face through the frames of one clip, in order."""

    def warm(self, frame: SourceFrame) -> None:
        """See one of the frames before the first that is followed, to know a cut when it comes."""

    def follow(self, frame: SourceFrame) -> TrackedFace | None:
        """The face in the next frame; None if it is not visible."""

    def state(self) -> Arrays:
        """All that the next faces depend on beside their frames. Followers in the same state go on alike."""


class FaceTracker(Protocol):
    """Follows one face through frames."""

    @property
    def name(self) -> str:
        """Name and version; results of different versions are never mixed."""

    @property
    def gives_mesh(self) -> bool:
        """Its tracks hold mesh points, not five points."""

    @property
    def parameters(self) -> str:
        """The settings that the result depends on, as one canonical string."""

    @property
    def provider(self) -> Provider:
        """The execution provider of its networks."""

    def follower(self, state: ReadArrays | None = None) -> Follower:
        """A follower for a clip, or one that goes on from `state`."""

    def track(
        self, frames: Iterable[SourceFrame], clock: StageClock, observer: ClipObserver | None = None
    ) -> FaceTrack:
        """Consume `frames` (in order, from the first) and return the track of the face in them.

        Never raises for a frame without a face. `is_complete` is True; a caller that gave only the beginning of a
        video corrects it. Timed as "track"; the observer's work as "analyse".
        """
        return recorded(self, self.follower(), frames, clock, observer)


def recorded(
    tracker: FaceTracker,
    follower: Follower,
    frames: Iterable[SourceFrame],
    clock: StageClock,
    observer: ClipObserver | None,
    *,
    is_counted: bool = True,
) -> FaceTrack:
    """The track of the face that `follower`, one of `tracker`, follows through `frames`; see `FaceTracker.track`.

    Frames that were tracked before are not counted again.
    """
    items = 1 if is_counted else 0
    recorder = TrackRecorder(len(KEPT if tracker.gives_mesh else FIVE_POINTS))
    for frame in frames:
        with clock.stage("track", items=items, provider=tracker.provider):
            face = follower.follow(frame)
            recorder.add(frame, face)
        if observer and face:
            with clock.stage("analyse", items=items):
                observer.observe(frame, face)
    return recorder.track(tracker.name)
