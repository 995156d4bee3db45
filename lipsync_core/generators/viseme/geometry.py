"""The mouth of one clip, frame by frame, in canonical pixels and steady over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import MOUTH_CORNERS, NOSE_TIP, OUTER_EYE_CORNERS, rows
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.viseme.canonical import (
    apply_transform,
    canonical_transforms,
    face_template,
    inverse_transform,
    scale_of,
)
from lipsync_core.smoothing import gaussian

TRANSFORM_SIGMA_FRAMES = 1.5
POINT_SIGMA_FRAMES = 0.7
_TRANSFORM_REACH_FRAMES, _POINT_REACH_FRAMES = 6, 3
#: Differences of this size, in canonical pixels, are the mesh's noise; larger ones are real motion and are followed.
_NOISE_PX = 1.6
_TURN_SIGMA_FRAMES = 3.0  # steady enough that a decision by the turn does not change from frame to frame
_TEMPLATE_FRAMES = 2000  # more frames would not change the median, and cost memory
_JUMP = 0.5  # in box sizes: further than this between two frames is another shot
_CLOSED_PERCENTILE = 4.0
_CLOSED_GAP = 0.05  # in mouth widths: a wider one means that the clip never shows closed lips

_MOUTH = (128.0, 110.0)  # about where the mouth is in the canonical crop

_CORNERS = rows(MOUTH_CORNERS)
_EYES = rows(OUTER_EYE_CORNERS)
_INNER_MIDDLES = rows((13, 14))
_NOSE = int(rows((NOSE_TIP,))[0])


@dataclass(frozen=True, slots=True, eq=False)
class FramePlace:
    """Where the face of one frame is, and how far it is turned."""

    transform: NDArray[np.float64]  # (2, 3) frame -> canonical
    turn: float  # sideways turn of the head: the nose tip's offset in 3-D eye distances, 0 when frontal


@dataclass(frozen=True, slots=True, eq=False)
class FramePose(FramePlace):
    """The face of one frame in canonical pixels."""

    points: NDArray[np.float64]  # (K, 2) mesh points, canonical pixels
    mouth_width_px: float  # in 3-D, canonical pixels


class ClipGeometry:
    """Steady poses of every frame of a track, and the clip's own mouth measures.

    Smoothing is centred in time, so it does not lag; it removes noise and keeps motion, even jerky
    motion; and it never reaches across a cut or a gap.
    """

    def __init__(self, track: FaceTrack) -> None:
        self._landmarks = track.landmarks
        self._shots = _shots(track)
        found = np.flatnonzero(track.has_face)
        sample = found[:: max(1, len(found) // _TEMPLATE_FRAMES)]
        template = face_template(track.landmarks[sample])
        self._transforms = np.full((len(track), 2, 3), np.nan)
        self._widths = np.full(len(track), np.nan)
        self._turns = np.full(len(track), np.nan)
        gaps = np.full(len(track), np.nan)
        for first, end in self._shots:
            landmarks = track.landmarks[first:end]
            transforms = _steadied(canonical_transforms(landmarks, template))
            scale = scale_of(transforms)
            self._transforms[first:end] = transforms
            self._widths[first:end] = gaussian(scale * _distances(landmarks, _CORNERS), 1.0)
            self._turns[first:end] = gaussian(sideways_turns(landmarks), _TURN_SIGMA_FRAMES)
            gaps[first:end] = scale * _distances(landmarks, _INNER_MIDDLES)
        self.mouth_width_px = float(np.nanmedian(self._widths))
        closed = float(np.nanpercentile(gaps, _CLOSED_PERCENTILE)) / self.mouth_width_px
        self.closed_gap = closed if closed < _CLOSED_GAP else 0.0  # in mouth widths

    def place(self, frame_index: int) -> FramePlace | None:
        """Where the face of one source frame is, or None if it has none. It costs a hundredth of `pose`."""
        transform = self._transforms[frame_index]
        return None if np.isnan(transform[0, 0]) else FramePlace(transform, float(self._turns[frame_index]))

    def pose(self, frame_index: int) -> FramePose | None:
        """The pose of one source frame, or None if it has no face."""
        shot = next(((a, b) for a, b in self._shots if a <= frame_index < b), None)
        if shot is None:
            return None
        first = max(shot[0], frame_index - _POINT_REACH_FRAMES)
        end = min(shot[1], frame_index + _POINT_REACH_FRAMES + 1)
        mapped = apply_transform(self._transforms[first:end], self._landmarks[first:end, :, :2])
        differences = np.sqrt(((mapped - mapped[frame_index - first]) ** 2).sum(2).mean(1))  # (n,)
        weights = _closeness(np.arange(first, end) - frame_index, POINT_SIGMA_FRAMES, differences)
        points = np.einsum("n,nkd->kd", weights / weights.sum(), mapped)
        width, turn = float(self._widths[frame_index]), float(self._turns[frame_index])
        return FramePose(self._transforms[frame_index], turn, points, width)


def _steadied(transforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 3) similarities of one shot, each averaged with those neighbours that differ by noise only."""
    middles = inverse_transform(transforms) @ (*_MOUTH, 1.0)  # (N, 2) source
    scale = scale_of(transforms)
    total, weight_sum = np.zeros_like(transforms), np.zeros(len(transforms))
    for step in range(-_TRANSFORM_REACH_FRAMES, _TRANSFORM_REACH_FRAMES + 1):
        here = slice(max(0, -step), len(transforms) - max(0, step))
        there = slice(max(0, step), len(transforms) - max(0, -step))
        if here.stop <= here.start:
            continue
        differences = np.linalg.norm(middles[there] - middles[here], axis=1) * scale[here]
        weights = _closeness(np.array(step), TRANSFORM_SIGMA_FRAMES, differences)
        total[here] += weights[:, None, None] * transforms[there]
        weight_sum[here] += weights
    return total / weight_sum[:, None, None]


def _closeness(steps: NDArray[np.integer], sigma: float, differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilateral weights: near in time and alike (Tomasi and Manduchi 1998)."""
    weights: NDArray[np.float64] = np.exp(-0.5 * ((steps / sigma) ** 2 + (differences / _NOISE_PX) ** 2))
    return weights


def _distances(landmarks: NDArray[np.float32], pair: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N,) 3-D distance between two points of (N, K, 3) landmarks, source pixels."""
    across = landmarks[:, pair[0]].astype(np.float64) - landmarks[:, pair[1]]
    lengths: NDArray[np.float64] = np.linalg.norm(across, axis=1)
    return lengths


def sideways_turns(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) how far the nose tip lies off the middle of the eyes, along the line through them, in eye distances."""
    left, right = landmarks[:, _EYES[0]].astype(np.float64), landmarks[:, _EYES[1]].astype(np.float64)
    across = right - left
    along = across[:, :2] / np.linalg.norm(across[:, :2], axis=1, keepdims=True)
    nose = landmarks[:, _NOSE, :2] - (left + right)[:, :2] / 2
    turns: NDArray[np.float64] = np.abs((nose * along).sum(1)) / np.linalg.norm(across, axis=1)
    return turns


def _shots(track: FaceTrack) -> list[tuple[int, int]]:
    """Runs [first, end) of frames with a face that neither vanishes nor jumps."""
    found = np.flatnonzero(track.has_face)
    if not len(found):
        return []
    eyes = track.landmarks[found][:, _EYES, :2].astype(np.float64)
    middles, size = eyes.mean(1), np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)
    moved = np.linalg.norm(np.diff(middles, axis=0), axis=1) / np.minimum(size[:-1], size[1:])
    breaks = np.flatnonzero((np.diff(found) > 1) | (moved > _JUMP)) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(found, breaks)]
