"""Collects a face track frame by frame, keeping nothing but its arrays."""

from fractions import Fraction

import numpy as np

from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.track import FaceTrack, TrackedFace
from lipsync_core.media.decode import SourceFrame

_FIRST_ROWS = 256


class TrackRecorder:
    """Records a track of unknown length, in arrays that double when full: less than twice the final size."""

    def __init__(self, landmarks: int = len(KEPT)) -> None:
        """`landmarks` is the number of points of each face."""
        self._count = 0
        self._time_base = Fraction(1)
        self._last_duration = 0
        self._pts = np.zeros(_FIRST_ROWS, np.int64)
        self._boxes = np.zeros((_FIRST_ROWS, 4), np.float32)
        self._scores = np.zeros(_FIRST_ROWS, np.float32)
        self._landmarks = np.zeros((_FIRST_ROWS, landmarks, 3), np.float32)
        self._covered = np.zeros(_FIRST_ROWS, np.bool_)

    def add(self, frame: SourceFrame, face: TrackedFace | None) -> None:
        """Record the next frame; `face` is None if it shows none."""
        if self._count == len(self._pts):
            self._grow()
        row = self._count
        self._pts[row] = frame.pts
        self._scores[row] = face.score if face else 0.0
        self._boxes[row] = face.box if face else np.nan
        self._landmarks[row] = face.landmarks if face else np.nan
        self._covered[row] = face is not None and face.is_covered
        self._time_base, self._last_duration = frame.time_base, frame.duration
        self._count += 1

    def track(self, tracker: str) -> FaceTrack:
        """The complete track of the recorded frames, made by `tracker`."""
        count = self._count
        return FaceTrack(
            tracker=tracker,
            frame_pts=self._pts[:count].copy(),
            time_base=self._time_base,
            last_duration=self._last_duration,
            is_complete=True,
            boxes=self._boxes[:count].copy(),
            scores=self._scores[:count].copy(),
            landmarks=self._landmarks[:count].copy(),
            covered=self._covered[:count].copy(),
        )

    def _grow(self) -> None:
        self._pts = np.concatenate([self._pts, np.zeros_like(self._pts)])
        self._boxes = np.concatenate([self._boxes, np.zeros_like(self._boxes)])
        self._scores = np.concatenate([self._scores, np.zeros_like(self._scores)])
        self._landmarks = np.concatenate([self._landmarks, np.zeros_like(self._landmarks)])
        self._covered = np.concatenate([self._covered, np.zeros_like(self._covered)])
