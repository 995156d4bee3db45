"""FaceTrack, the face of one person in every source frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.cover import steadily_covered
from lipsync_core.face.landmarks import FIVE_POINTS, KEPT

#: Named arrays, small, that can be stored and sent.
Arrays = dict[str, NDArray[np.generic]]
ReadArrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceTrack:
    """One identity followed through the first N frames of a video.

    A frame without a face has score 0 and NaN in `boxes` and `landmarks`.
    Coordinates are pixels of the decoded (coded, unrotated) frame; pixel centres lie on integers.
    """

    tracker: str  # name and version of its tracker, such as "mediapipe/1"
    frame_pts: NDArray[np.int64]  # (N,) in units of time_base, ascending, the first frame at 0
    time_base: Fraction  # seconds
    last_duration: int  # how long the last frame lasts, in units of time_base
    is_complete: bool  # the track covers the whole video, not only its beginning
    boxes: NDArray[np.float32]  # (N, 4) x0 y0 x1 y1
    scores: NDArray[np.float32]  # (N,) 0..1
    landmarks: NDArray[np.float32]  # (N, K, 3) x y z; K = 5 (FIVE_POINTS) or len(KEPT) (mesh)
    covered: NDArray[np.bool_]  # (N,) whether a mask seems to cover the mouth, in each frame by itself

    def __post_init__(self) -> None:
        count = len(self.frame_pts)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise ValueError(f"boxes {self.boxes.shape} and scores {self.scores.shape} for {count} frames")
        if self.covered.shape != (count,):
            raise ValueError(f"covered {self.covered.shape} for {count} frames")
        if self.landmarks.shape not in {(count, len(FIVE_POINTS), 3), (count, len(KEPT), 3)}:
            raise ValueError(f"landmarks of shape {self.landmarks.shape} for {count} frames")

    def __len__(self) -> int:
        return len(self.frame_pts)

    def __repr__(self) -> str:
        found = int((self.scores > 0).sum())
        return f"FaceTrack({self.tracker}, {len(self)} frames, face in {found}, landmarks {self.landmarks.shape})"

    @property
    def is_mesh(self) -> bool:
        """The landmarks are mesh points (rows named by `landmarks.KEPT`), not five points."""
        return bool(self.landmarks.shape[1] == len(KEPT))

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """(N,) whether a face was found in each frame."""
        found: NDArray[np.bool_] = self.scores > 0
        return found

    @property
    def has_covered_mouth(self) -> NDArray[np.bool_]:
        """(N,) whether the mouth of each frame is covered, steady over time; False where a tracker cannot tell."""
        return steadily_covered(self.covered, self.has_face, self.frame_pts * np.float64(self.time_base))

    @property
    def duration_s(self) -> Fraction:
        """From the first frame's start to the last frame's end."""
        if not len(self):
            return Fraction(0)
        return (int(self.frame_pts[-1]) + self.last_duration) * self.time_base


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrackedFace:
    """The followed face in one source frame, as handed to observers while the track is being made.

    Coordinates are raw (not smoothed) pixels of the decoded frame.
    """

    frame_index: int
    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1
    score: float
    landmarks: NDArray[np.float32]  # (K, 3)
    is_covered: bool = False  # a mask seems to cover the mouth
