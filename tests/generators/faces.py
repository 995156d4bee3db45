"""A face mesh for tests of geometry: a plain face built from numbers, which a test can move."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    KEPT,
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    UPPER_INNER_LIP,
    UPPER_OUTER_LIP,
    rows,
)
from lipsync_core.face.track import FaceTrack

EYE_DISTANCE_PX = 100.0
MOUTH_WIDTH_PX = 50.0
_MOUTH_Y = 75.0


def plain_face(gap_px: float = 0.0) -> NDArray[np.float32]:
    """(K, 3) mesh points of a frontal face whose eye middle is the origin; lips `gap_px` apart."""
    rng = np.random.default_rng(5)
    points = np.zeros((len(KEPT), 3), np.float32)
    points[:, 0] = rng.uniform(-45, 45, len(KEPT))
    points[:, 1] = rng.uniform(5, 130, len(KEPT))
    fixed = {33: (-50, 0), 263: (50, 0), 133: (-18, 0), 362: (18, 0), 4: (0, 45), 152: (0, 135)}
    for point, position in fixed.items():
        points[rows((point,))[0], :2] = position
    across = np.linspace(-1, 1, 11)
    arch = np.sqrt(np.maximum(0, 1 - across**2))
    lips = ((UPPER_OUTER_LIP, -gap_px / 2 - 8, 1.1), (UPPER_INNER_LIP, -gap_px / 2, 1.0))
    lips += ((LOWER_INNER_LIP, gap_px / 2, 1.0), (LOWER_OUTER_LIP, gap_px / 2 + 10, 1.1))
    for row, height, width in lips:
        points[rows(row), 0] = across * MOUTH_WIDTH_PX / 2 * (width / 1.1)
        points[rows(row), 1] = _MOUTH_Y + arch * height
    return points


def track_of(frames: list[NDArray[np.float32] | None]) -> FaceTrack:
    """A track of meshes in source pixels; None is a frame without a face."""
    count = len(frames)
    landmarks = np.full((count, len(KEPT), 3), np.nan, np.float32)
    boxes = np.full((count, 4), np.nan, np.float32)
    scores = np.zeros(count, np.float32)
    for index, points in enumerate(frames):
        if points is not None:
            landmarks[index], scores[index] = points, 1.0
            boxes[index] = (*points[:, :2].min(0), *points[:, :2].max(0))
    return FaceTrack(
        tracker="test/1",
        frame_pts=np.arange(count, dtype=np.int64),
        time_base=Fraction(1, 25),
        last_duration=1,
        is_complete=True,
        boxes=boxes,
        scores=scores,
        landmarks=landmarks,
        covered=np.zeros(count, bool),
    )


def placed(
    points: NDArray[np.float32], x: float, y: float, scale: float = 1.0, roll: float = 0.0
) -> NDArray[np.float32]:
    """`points` turned by `roll` (radians), scaled, with the eye middle at (x, y)."""
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    moved = points * np.float32(scale)
    moved[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32) + np.array([x, y], np.float32)
    return moved
