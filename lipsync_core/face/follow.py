"""Follows one person from frame to frame, through blurs, blank frames, cuts and other people."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice

import av
import numpy as np

from lipsync_core.face.detect import Detection, FaceDetector
from lipsync_core.face.identity import MEMORY_S, nearest
from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.mesh import FaceMesh, MeshFitter, crop_of_detection, crop_of_mesh
from lipsync_core.face.search import find_faces
from lipsync_core.face.settle import MIN_PRESENCE, is_same_mesh, right_way_up, settled
from lipsync_core.face.shots import Beginning, Shots
from lipsync_core.face.track import Arrays, ReadArrays, TrackedFace
from lipsync_core.media.source_frame import SourceFrame

#: A mesh with a lower presence (on an ear, a hand, a profile) must be confirmed by a detection now and then.
#: A mesh with a higher one needs no confirmation: on the clips measured, detector and mesh agreed in every
#: frame in which the detector found a face.
_SURE_PRESENCE = 0.9
_CONFIRM_EVERY = 10  # frames
#: Frames between two thorough searches while no face is seen.
_THOROUGH_EVERY = 8
_REFITS = 4  # each halves the distance to the mesh that was followed, .4 % of the face at first


class FaceFollower:
    """Follows one face through the frames of one clip, in order."""

    def __init__(
        self, detector: FaceDetector, fitter: MeshFitter, wanted: int | None, state: ReadArrays | None = None
    ) -> None:
        """`state` is that of a follower to go on from."""
        self._detector = detector
        self._fitter = fitter
        self._wanted = wanted
        self._shots = Shots(state)
        self._mesh: FaceMesh | None = None  # the face as last seen in this shot
        self._seen_s = Fraction(0)  # the time at which it was last seen
        self._is_lost = True
        self._misses = 0  # frames since a face was last seen
        self._extra_turns = 0
        self._turn = 0  # quarter turns counterclockwise that made the people in this clip upright
        self._unconfirmed = 0  # frames since a detection last confirmed the mesh
        if state:
            self._restore(state)

    def follow(self, frame: SourceFrame) -> TrackedFace | None:
        """The followed face in the next frame; None if it is not visible."""
        mesh = self._follow(frame)
        if mesh is None:
            return None
        return TrackedFace(frame.index, mesh.box, mesh.presence, mesh.points[list(KEPT)], mesh.is_covered)

    def warm(self, frame: SourceFrame) -> None:
        """See `Follower.warm`."""
        self._shots.warm(frame)

    def state(self) -> Arrays:
        """See `Follower.state`."""
        mesh, seen_s = self._mesh, self._seen_s
        numbers = (self._is_lost, self._misses, self._turn, self._unconfirmed)
        state = {**self._shots.state(), "numbers": np.array(numbers, np.int64)}
        if mesh is not None:
            state["points"] = mesh.points
            state["logit"] = np.array([mesh.logit, mesh.is_covered])
            state["seen"] = np.array([seen_s.numerator, seen_s.denominator])
        return state

    def _restore(self, state: ReadArrays) -> None:
        is_lost, self._misses, self._turn, self._unconfirmed = state["numbers"].tolist()
        self._is_lost = bool(is_lost)
        if "points" in state:
            logit, is_covered = state["logit"].tolist()
            self._mesh = FaceMesh(state["points"].astype(np.float32), logit, bool(is_covered))
            self._seen_s = Fraction(*state["seen"].tolist())

    def _follow(self, frame: SourceFrame) -> FaceMesh | None:
        picture, time_s = frame.picture, frame.start_s
        self._extra_turns = frame.extra_turns
        beginning = self._shots.beginning(frame)
        if beginning is Beginning.SHOT:
            self._forget()
        elif self._is_lost and time_s - self._seen_s > MEMORY_S:
            self._mesh = None
        found = self._find_anew(picture) if beginning is Beginning.STRETCH else None
        if found is None and self._mesh is not None and not self._is_lost:
            found = self._step(picture, self._mesh)
        if found is None and beginning is not Beginning.STRETCH:
            found = self._search(picture)
        self._is_lost = found is None
        self._misses = self._misses + 1 if found is None else 0
        if found is not None:
            self._mesh, self._seen_s = found, time_s
        return found

    def _find_anew(self, picture: av.VideoFrame) -> FaceMesh | None:
        """The mesh that a search finds, fitted until it is hardly any other than that of a face that was followed."""
        self._misses = 0
        mesh = self._search(picture)
        for _ in range(_REFITS):
            fitted = mesh and self._fitter.fit(picture, crop_of_mesh(mesh))
            if fitted is None or fitted.presence < MIN_PRESENCE:
                break
            mesh = fitted
        return mesh

    def _forget(self) -> None:
        self._mesh, self._is_lost, self._misses = None, True, 0

    def _step(self, picture: av.VideoFrame, before: FaceMesh) -> FaceMesh | None:
        """The mesh fitted from its last position; None if the result is not reliable."""
        mesh = self._fitter.fit(picture, crop_of_mesh(before))
        if not is_same_mesh(mesh, before):
            return None
        self._unconfirmed += 1
        if mesh.presence < _SURE_PRESENCE and self._unconfirmed >= _CONFIRM_EVERY:
            return mesh if self._is_confirmed(picture, mesh) else None
        return mesh

    def _is_confirmed(self, picture: av.VideoFrame, mesh: FaceMesh) -> bool:
        """Whether the detector, too, finds a face at the mesh."""
        self._unconfirmed = 0
        return bool(nearest(self._find(picture, self._turn, thoroughly=True), mesh.box))

    def _find(self, picture: av.VideoFrame, turn: int, thoroughly: bool = False) -> list[Detection]:
        return find_faces(self._detector, picture, self._extra_turns + turn, thoroughly)

    def _search(self, picture: av.VideoFrame) -> FaceMesh | None:
        """The mesh of a detected face: of the person just lost, else of a newly chosen one."""
        self._unconfirmed = 0
        chosen = self._choose(picture, self._find(picture, self._turn))
        if chosen is None and self._misses % _THOROUGH_EVERY == 0:
            chosen = self._search_thoroughly(picture)
        return chosen and right_way_up(self._fitter, picture, chosen)

    def _search_thoroughly(self, picture: av.VideoFrame) -> FaceMesh | None:
        """As `_search`, for very close and far faces, then for people who lie on their side.

        A video recorded sideways does not always say so.
        """
        for more in range(4):
            turn = (self._turn + more) % 4
            chosen = self._choose(picture, self._find(picture, turn, thoroughly=more == 0))
            if chosen is not None:
                self._turn = turn
                return chosen
        return None

    def _choose(self, picture: av.VideoFrame, faces: Sequence[Detection]) -> FaceMesh | None:
        """The mesh of the face to follow among `faces` (ordered from left to right); None if it is not among them."""
        rank = 0
        if self._mesh is not None:
            faces = nearest(faces, self._mesh.box)
        elif self._wanted is None:
            faces = sorted(faces, key=lambda face: -face.size_px)
        else:
            rank = self._wanted
        # The detector is sometimes wrong: a detection without a mesh is no face and does not count.
        meshes = (settled(self._fitter, picture, crop_of_detection(face)) for face in faces)
        present = (mesh for mesh in meshes if mesh.presence >= MIN_PRESENCE)
        return next(islice(present, rank, None), None)
