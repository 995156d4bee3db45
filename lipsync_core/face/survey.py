"""Looks at some frames of a video, far apart: every face in each, and which one the track pass would follow."""

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.detect import FaceDetector, overlap
from lipsync_core.face.identity import nearest
from lipsync_core.face.mesh import FaceMesh, MeshFitter, crop_of_detection, crop_of_mesh
from lipsync_core.face.rotation import quarter_turns, turned
from lipsync_core.face.search import find_faces
from lipsync_core.face.settle import MIN_PRESENCE, is_same_mesh, right_way_up, settled
from lipsync_core.media.source_frame import SourceFrame

#: Frames between two thorough searches while the wanted face is not seen.
_THOROUGH_EVERY = 4
_MOST_FACES = 8  # whose meshes are fitted in one frame, the largest first
_SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SeenFaces:
    """The faces in one frame."""

    meshes: tuple[FaceMesh, ...]  # from left to right as displayed, in pixels of the coded picture
    chosen: int | None  # the number of the one that is followed
    quarters: int  # quarter turns counterclockwise (`np.rot90`) from the coded picture to the displayed one

    @property
    def chosen_mesh(self) -> FaceMesh | None:
        """The mesh of the face that is followed."""
        return None if self.chosen is None else self.meshes[self.chosen]


class FaceSurvey:
    """Sees the faces of one video in frames that are far apart, in order.

    The face is chosen as `MediapipeTracker` does: the largest, or the one with the number `wanted` from the left, and
    then the one that is where that face was, until it is lost.
    """

    def __init__(self, detector: FaceDetector, fitter: MeshFitter, wanted: int | None) -> None:
        self._detector = detector
        self._fitter = fitter
        self._wanted = wanted
        self._before: FaceMesh | None = None
        self._misses = 0
        self._turn = 0  # quarter turns counterclockwise that made the people upright

    def look(self, frame: SourceFrame) -> SeenFaces:
        """The faces of the next frame."""
        quarters = (quarter_turns(frame.picture) + frame.extra_turns) % 4
        meshes = self._meshes(frame, self._turn)
        if self._before is not None and not nearest(meshes, self._before.box):
            followed = self._fitter.fit(frame.picture, crop_of_mesh(self._before))  # small ones are not detected
            meshes += [followed] if is_same_mesh(followed, self._before) else []
        chosen = self._choose(meshes, frame, quarters)
        if chosen is None and self._misses % _THOROUGH_EVERY == 0:
            meshes, chosen = self._search_thoroughly(frame, quarters)
        self._misses = 0 if chosen is not None else self._misses + 1
        self._before = chosen
        ordered = self._from_the_left(meshes, frame.picture, quarters)
        number = next((number for number, mesh in enumerate(ordered) if mesh is chosen), None)
        return SeenFaces(tuple(ordered), number, quarters)

    def _search_thoroughly(self, frame: SourceFrame, quarters: int) -> tuple[list[FaceMesh], FaceMesh | None]:
        """Near and far faces as well, and people who lie on their side."""
        most: list[FaceMesh] = []
        for more in range(4):
            turn = (self._turn + more) % 4
            meshes = self._meshes(frame, turn, thoroughly=more == 0)
            chosen = self._choose(meshes, frame, quarters)
            if chosen is not None:
                self._turn = turn
                return meshes, chosen
            most = max(most, meshes, key=len)
        return most, None

    def _meshes(self, frame: SourceFrame, turn: int, thoroughly: bool = False) -> list[FaceMesh]:
        """The meshes of all faces that the detector finds; a detection without one is no face."""
        found = find_faces(self._detector, frame.picture, frame.extra_turns + turn, thoroughly)
        meshes: list[FaceMesh] = []
        for face in sorted(found, key=lambda face: -face.size_px)[:_MOST_FACES]:
            mesh = settled(self._fitter, frame.picture, crop_of_detection(face))
            if mesh.presence < MIN_PRESENCE:
                continue
            mesh = right_way_up(self._fitter, frame.picture, mesh)
            if all(overlap(mesh.box, other.box[np.newaxis])[0] < _SAME_FACE_IOU for other in meshes):
                meshes.append(mesh)
        return meshes

    def _choose(self, meshes: list[FaceMesh], frame: SourceFrame, quarters: int) -> FaceMesh | None:
        near = [] if self._before is None else nearest(meshes, self._before.box)
        if near:
            return near[0]
        if self._wanted is None:
            return max(meshes, key=size_px, default=None)
        ordered = self._from_the_left(meshes, frame.picture, quarters)
        return ordered[self._wanted] if self._wanted < len(ordered) else None

    @staticmethod
    def _from_the_left(meshes: list[FaceMesh], picture: av.VideoFrame, quarters: int) -> list[FaceMesh]:
        shape = (picture.height, picture.width)
        return sorted(meshes, key=lambda mesh: float(displayed(mesh.box, quarters, shape)[[0, 2]].sum()))


def size_px(mesh: FaceMesh) -> float:
    """The longer side of the face, forehead to chin, whichever way up it is."""
    low, high = mesh.box.reshape(2, 2)
    return float((high - low).max())


def displayed(box: NDArray[np.float32], quarters: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(4,) x0 y0 x1 y1 of a box of the coded picture of `shape` (h, w), in the picture as it is displayed."""
    corners = turned(box.reshape(2, 2), quarters, shape)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])
