"""The embedded face tracker: BlazeFace finds a face, Face Mesh follows it from frame to frame."""

from collections.abc import Iterable

from lipsync_core.clock import StageClock
from lipsync_core.execution import Provider
from lipsync_core.face.detect import FaceDetector
from lipsync_core.face.follow import FaceFollower
from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.mesh import FaceMesh, MeshFitter
from lipsync_core.face.recorder import TrackRecorder
from lipsync_core.face.track import ClipObserver, FaceTrack, TrackedFace
from lipsync_core.media.decode import SourceFrame
from lipsync_core.models.store import ModelStore

MODEL = "mediapipe-face"
_VERSION = 2  # raise it with every change that may alter a track


class MediapipeTracker:
    """Follows one person through a clip; see `FaceTracker`.

    `face` None follows the largest face; 0, 1, ... is the face's number from the left, as displayed.
    The face is chosen in a shot's first frame with faces, and followed until the shot ends. In a shot
    without that many faces no face is found.

    Raises:
        ModelMissingError: the model `mediapipe-face` is not installed in `store`.
        ModelCorruptError: its files are not the registered ones.
    """

    def __init__(self, store: ModelStore, face: int | None = None) -> None:
        installed = store.open_usable(MODEL)
        self._detector = FaceDetector(installed.path("full_range"))
        self._fitter = MeshFitter(installed.path("face_landmark"))
        self._face = face

    @property
    def name(self) -> str:
        """Name and version."""
        return f"mediapipe/{_VERSION}"

    @property
    def gives_mesh(self) -> bool:
        """True: its tracks hold mesh points."""
        return True

    @property
    def provider(self) -> Provider:
        """The CPU: LiteRT runs nowhere else here."""
        return "cpu"

    @property
    def parameters(self) -> str:
        """The choice of the face."""
        return "face=largest" if self._face is None else f"face={self._face}"

    def track(
        self, frames: Iterable[SourceFrame], clock: StageClock, observer: ClipObserver | None = None
    ) -> FaceTrack:
        """See `FaceTracker.track`. Timed as "track"; the observer's work as "analyse"."""
        follower = FaceFollower(self._detector, self._fitter, self._face)
        recorder = TrackRecorder()
        for frame in frames:
            with clock.stage("track", items=1, provider=self.provider):
                mesh = follower.follow(frame.picture, frame.pts * frame.time_base, frame.extra_turns)
                face = _tracked(frame.index, mesh) if mesh else None
                recorder.add(frame, face)
            if observer and face:
                with clock.stage("analyse", items=1):
                    observer.observe(frame, face)
        return recorder.track(self.name)


def _tracked(frame_index: int, mesh: FaceMesh) -> TrackedFace:
    return TrackedFace(frame_index, mesh.box, mesh.presence, mesh.points[list(KEPT)], mesh.is_covered)
