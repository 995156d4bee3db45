"""The canonical face: one upright crop in which every frame's mouth has the same position and size.

The crop is 256 x 256; the outer eye corners are 140 px apart (measured in 3-D, so that a turned head
is not enlarged) and their middle lies at (128, 12), which leaves the crop to mouth, cheeks and chin.
"""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import OUTER_EYE_CORNERS, STABLE, rows
from lipsync_core.face.similarity import similarities

SIDE_PX = 256
EYE_DISTANCE_PX = 140.0
EYE_MIDDLE = (128.0, 12.0)
#: The part that speech moves: mouth, lower cheeks and chin, with room to drop (left, top, right, bottom).
MOVING_PART = (26.0, 56.0, 230.0, 250.0)

_EYES = rows(OUTER_EYE_CORNERS)
_STABLE = rows(STABLE)


def face_template(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """The stable points of a clip's typical pose in canonical pixels.

    Args:
        landmarks: (N, K, 3) mesh points of frames with a face, source pixels, N >= 1.

    Returns:
        (P, 2), one row per point of `landmarks.STABLE`.
    """
    left, right = landmarks[:, _EYES[0]].astype(np.float64), landmarks[:, _EYES[1]].astype(np.float64)
    across = right - left
    scale = EYE_DISTANCE_PX / np.linalg.norm(across, axis=1)
    roll = np.arctan2(across[:, 1], across[:, 0])
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    turn = np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)  # (N, 2, 2)
    centred = landmarks[:, _STABLE, :2] - ((left + right) / 2)[:, None, :2]
    upright = centred @ turn.transpose(0, 2, 1)  # (N, P, 2)
    template: NDArray[np.float64] = np.median(upright, axis=0) + EYE_MIDDLE
    return template


def canonical_transforms(landmarks: NDArray[np.float32], template: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least-squares similarity from each frame to the canonical crop.

    Args:
        landmarks: (N, K, 3) mesh points in source pixels.
        template: from `face_template`.

    Returns:
        (N, 2, 3) affine matrices.
    """
    return similarities(landmarks[:, _STABLE, :2].astype(np.float64), template)


def apply_transform(transform: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(…, 2) points mapped by (…, 2, 3) transforms."""
    mapped: NDArray[np.float64] = points @ transform[..., :2].swapaxes(-1, -2) + transform[..., None, :, 2]
    return mapped


def scale_of(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Canonical pixels per source pixel of (…, 2, 3) similarities."""
    scale: NDArray[np.float64] = np.hypot(transform[..., 0, 0], transform[..., 1, 0])
    return scale


def inverse_transform(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 2, 3) from the canonical crop back to the frame."""
    turn = np.linalg.inv(transform[..., :2])
    return np.concatenate([turn, -(turn @ transform[..., 2:])], -1)
