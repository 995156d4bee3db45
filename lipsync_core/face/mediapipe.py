"""The embedded face tracker: BlazeFace finds a face, Face Mesh follows it from frame to frame."""

from lipsync_core.execution import Provider
from lipsync_core.face.detect import FaceDetector
from lipsync_core.face.follow import FaceFollower
from lipsync_core.face.mesh import MeshFitter
from lipsync_core.face.track import ReadArrays
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.models.store import ModelStore

MODEL = "mediapipe-face"
_VERSION = 3  # raise it with every change that may alter a track


class MediapipeTracker(FaceTracker):
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

    def follower(self, state: ReadArrays | None = None) -> FaceFollower:
        """See `FaceTracker.follower`."""
        return FaceFollower(self._detector, self._fitter, self._face, state)
