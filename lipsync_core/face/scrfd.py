"""The face tracker on SCRFD: it detects the faces of every frame and follows one person among them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.face.identity import MEMORY_S, nearest
from lipsync_core.face.landmarks import FIVE_POINTS
from lipsync_core.face.rotation import quarter_turns, turned_back
from lipsync_core.face.scrfd_detect import FivePointFace, ScrfdDetector
from lipsync_core.face.shots import Beginning, Shots
from lipsync_core.face.track import Arrays, ReadArrays, TrackedFace
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.media.planes import thumbnail
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.models.content import sha256_of
from lipsync_core.network import Network

_VERSION = 2  # raise it with every change that may alter a track
#: Input sides, tried in turn. At 640 the model misses faces that fill a small picture, at 320 far ones.
_INPUTS_PX = (320, 640)
#: Frames between two tries of the larger input (four times the cost) while no face is seen.
_LARGE_EVERY = 8
#: Larger pictures are reduced first: the detector's own shrinking skips pixels.
_PICTURE_PX = 1920


class ScrfdTracker(FaceTracker):
    """Follows one person through a clip with five points a frame; see `FaceTracker`.

    `face` None follows the largest face; 0, 1, ... is the face's number from the left, as displayed.
    The face is chosen in a shot's first frame with faces, and followed until the shot ends. In a shot
    without that many faces no face is found.

    Raises:
        ModelMissingError: there is no file `model`.
        ModelError: it is not an SCRFD network with five points.
        OptionError: the provider is not here, or it does not run the network.
    """

    def __init__(
        self,
        model: Path | Network,
        face: int | None = None,
        provider: OpeningProvider = "cpu",
        weights_sha256: str | None = None,
    ) -> None:
        """`weights_sha256`, of the network's file, is given where that is not on this machine."""
        self._detector = ScrfdDetector(model, provider)
        self._sha256 = sha256_of(model) if isinstance(model, Path) else weights_sha256
        self._face = face

    @property
    def name(self) -> str:
        """Name and version."""
        return f"scrfd/{_VERSION}"

    @property
    def gives_mesh(self) -> bool:
        """False: its tracks hold five points."""
        return False

    @property
    def provider(self) -> Provider:
        """The execution provider of the detector."""
        return self._detector.provider

    @property
    def parameters(self) -> str:
        """The detector network, and the choice of the face."""
        return f"model={self._sha256} face={'largest' if self._face is None else self._face}"

    def follower(self, state: ReadArrays | None = None) -> "_Follower":
        """See `FaceTracker.follower`."""
        return _Follower(self._detector, self._face, state)


class _Follower:
    """Follows one person from frame to frame."""

    def __init__(self, detector: ScrfdDetector, wanted: int | None, state: ReadArrays | None) -> None:
        self._detector = detector
        self._wanted = wanted
        self._shots = Shots(state)
        self._face: FivePointFace | None = None  # as last seen in this shot
        self._seen_s = Fraction(0)  # the time at which it was last seen
        self._misses = 0  # frames since then
        if state:
            self._restore(state)

    def follow(self, frame: SourceFrame) -> TrackedFace | None:
        """The followed face in the next frame; None if it is not visible."""
        beginning = self._shots.beginning(frame)
        if beginning is Beginning.SHOT:
            self._face, self._misses = None, 0
        elif self._misses and frame.start_s - self._seen_s > MEMORY_S:
            self._face = None
        if beginning is Beginning.STRETCH:
            self._misses = 0
        found = self._search(frame.picture, frame.extra_turns)
        if found is None:
            self._misses += 1
            return None
        self._face, self._seen_s, self._misses = found, frame.start_s, 0
        return _tracked(frame.index, found)

    def warm(self, frame: SourceFrame) -> None:
        """See `Follower.warm`."""
        self._shots.warm(frame)

    def state(self) -> Arrays:
        """See `Follower.state`."""
        face, seen_s = self._face, self._seen_s
        state = {**self._shots.state(), "misses": np.array(self._misses)}
        if face is not None:
            state["face"] = np.concatenate([[face.score], face.box, face.points.ravel()], dtype=np.float64)
            state["seen"] = np.array([seen_s.numerator, seen_s.denominator])
        return state

    def _restore(self, state: ReadArrays) -> None:
        self._misses = int(state["misses"])
        if "face" in state:
            values = state["face"].astype(np.float64)
            box, points = values[1:5].astype(np.float32), values[5:].reshape(-1, 2).astype(np.float32)
            self._face = FivePointFace(float(values[0]), box, points)
            self._seen_s = Fraction(*state["seen"].tolist())

    def _search(self, picture: av.VideoFrame, turns: int) -> FivePointFace | None:
        inputs_px = _INPUTS_PX if self._misses % _LARGE_EVERY == 0 else _INPUTS_PX[:1]
        for input_px in inputs_px:
            found = self._choose(find_faces(self._detector, picture, input_px, turns))
            if found is not None:
                return found
        return None

    def _choose(self, faces: Sequence[FivePointFace]) -> FivePointFace | None:
        """The face to follow among `faces` (ordered from left to right); None if it is not among them."""
        rank = 0
        if self._face is not None:
            faces = nearest(faces, self._face.box)
        elif self._wanted is None:
            faces = sorted(faces, key=lambda face: -face.size_px)
        else:
            rank = self._wanted
        return faces[rank] if rank < len(faces) else None


def find_faces(detector: ScrfdDetector, picture: av.VideoFrame, input_px: int, turns: int = 0) -> list[FivePointFace]:
    """Faces in pixels of the coded picture, ordered from left to right as displayed.

    `turns` counts quarter turns counterclockwise on top of the picture's own rotation.
    """
    pixels, scale = thumbnail(picture, _PICTURE_PX)
    quarters = (quarter_turns(picture) + turns) % 4
    faces = detector.detect(np.ascontiguousarray(np.rot90(pixels, quarters)), input_px)
    faces.sort(key=lambda face: float(face.box[0] + face.box[2]))
    return [_to_coded(face, quarters, pixels.shape[:2], scale) for face in faces]


def _to_coded(face: FivePointFace, quarters: int, shape: tuple[int, ...], scale: float) -> FivePointFace:
    """`face` from a reduced picture (of `shape` (h, w) before it was turned), in pixels of the coded picture."""
    corners = turned_back(face.box.reshape(2, 2), quarters, shape) / np.float32(scale)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return FivePointFace(face.score, box, turned_back(face.points, quarters, shape) / np.float32(scale))


def _tracked(frame_index: int, face: FivePointFace) -> TrackedFace:
    depth = np.zeros((len(FIVE_POINTS), 1), np.float32)
    return TrackedFace(frame_index, face.box, face.score, np.concatenate([face.points, depth], axis=1))
