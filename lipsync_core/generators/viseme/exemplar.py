"""Finds the clip's own mouth: an observer of the track pass.

One open mouth with visible teeth and one pair of closed lips are borrowed for the whole clip: fixed ones do not
flicker.
"""

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    CHEEKS,
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    MOUTH_CORNERS,
    NOSE_TIP,
    OUTER_EYE_CORNERS,
    UPPER_INNER_LIP,
    rows,
)
from lipsync_core.face.track import TrackedFace
from lipsync_core.generators.viseme.canonical import (
    SIDE_PX,
    apply_transform,
    canonical_transforms,
    face_template,
    inverse_transform,
    scale_of,
)
from lipsync_core.generators.viseme.lips import LIP_PART, LipPicture, lip_contours
from lipsync_core.generators.viseme.seam import Seam, find_seam
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import Box, read_region

_CANDIDATES = 12
_MIN_GAP = 0.10  # in mouth widths: below, too little of the inside shows
_MIN_TOOTH_SHARE = 0.08
_MOST_SEEN_GAP = 0.13  # mouth widths: the mesh never sees closed lips further apart
_MOST_REST_GAP = 0.05  # and mostly not so far
_CLOSED_FRAMES, _CLOSED_EVERY = 250, 4  # of those that may be closed, so many are looked at, then one in four
_MAX_LIP_SCALE = 4.0  # picture pixels a canonical pixel: enough for a face 560 px between the eyes
_CORNERS = rows(MOUTH_CORNERS)
_EYES = rows(OUTER_EYE_CORNERS)
_UPPER = rows(UPPER_INNER_LIP)
_LOWER = rows(LOWER_INNER_LIP)
_LIP_MIDDLES = (rows(LOWER_OUTER_LIP[3:8]), rows(LOWER_INNER_LIP[3:8]))
_NOSE = int(rows((NOSE_TIP,))[0])
SKIN_POINTS = rows(CHEEKS[2:6])  # beside nose and mouth: lit like the mouth, and inside the moving part


@dataclass(frozen=True, slots=True, eq=False)
class MouthCrop:
    """A canonical crop of one frame and the mesh points in it."""

    pixels: NDArray[np.uint8]  # (256, 256, 3) RGB
    points: NDArray[np.float64]  # (K, 2) canonical pixels
    mouth_width_px: float

    @property
    def gap(self) -> float:
        """Height of the opening at its middle, in mouth widths."""
        middle = len(_UPPER) // 2
        opening = self.points[_LOWER[middle], 1] - self.points[_UPPER[middle], 1]
        return float(opening) / self.mouth_width_px

    def inner_mask(self) -> NDArray[np.uint8]:
        """(256, 256) 255 inside the inner lip contour."""
        outline = np.concatenate([self.points[_UPPER], self.points[_LOWER][-2:0:-1]])
        mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask

    def tooth_share(self) -> float:
        """Share of bright, unsaturated pixels inside the lips, 0..1."""
        inside = self.pixels[self.inner_mask() > 127].astype(np.float32)  # (n, 3)
        if len(inside) < 30:
            return 0.0
        brightest, darkest = inside.max(1), inside.min(1)
        teeth = (darkest > 0.55 * float(self.skin_colour().mean())) & (brightest - darkest < 0.35 * brightest)
        return float(teeth.mean())

    def skin_colour(self) -> NDArray[np.float64]:
        """(3,) RGB of the lit skin: the brightest of the cheeks."""
        colour: NDArray[np.float64] = _colours(self.pixels, self.points[SKIN_POINTS]).max(0)
        return colour

    def brightness(self) -> float:
        """Mean value of the cheeks, 0..255, by which borrowed pixels are matched to a frame."""
        return float(_colours(self.pixels, self.points[SKIN_POINTS]).mean())

    def lip_colour(self) -> NDArray[np.float64]:
        """(3,) RGB of the middle of the lower lip."""
        outer, inner = _LIP_MIDDLES
        colour: NDArray[np.float64] = _colours(self.pixels, (self.points[outer] + self.points[inner]) / 2).mean(0)
        return colour


def _colours(pixels: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, 3) colours around points, each the mean of 9 x 9 pixels."""
    at = np.clip(np.round(points), 4, SIDE_PX - 5).astype(int)
    patches = [pixels[y - 4 : y + 5, x - 4 : x + 5].mean((0, 1)) for x, y in at]
    return np.array(patches, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Closed:
    """A frame whose lips are closed, or nearly so."""

    cost: tuple[bool, float]  # whether the picture shows them open, and by how much they are; less is better
    gap: float
    seam: Seam
    crop: MouthCrop
    pixels: NDArray[np.uint8]  # (h, w, 3) RGB of `LIP_PART`
    scale: float

    def picture(self) -> LipPicture:
        """The lips of this frame."""
        contours = lip_contours(self.crop.points, self.seam, self.crop.mouth_width_px)
        return LipPicture(self.pixels, self.scale, contours, min(self.gap, _MOST_REST_GAP), self.seam.is_closed)


class _ClosedLips:
    """Finds the best closed lips of a clip, or the least open ones."""

    def __init__(self) -> None:
        self.best: _Closed | None = None
        self._least_gap = np.inf
        self._looked_at = 0

    def consider(self, frame: SourceFrame, face: TrackedFace, gap: float) -> None:
        """Look at one frame, if its lips may be closed or are less open than all before."""
        is_least = gap < self._least_gap
        if not is_least and gap > _MOST_SEEN_GAP:
            return
        self._looked_at += 1
        if not is_least and self._looked_at > _CLOSED_FRAMES and self._looked_at % _CLOSED_EVERY:
            return
        self._least_gap = min(self._least_gap, gap)
        crop = crop_mouth(frame, face.landmarks)
        seam = find_seam(crop.pixels, crop.points)
        corners = face.landmarks[_CORNERS, :2]
        is_cut = bool((corners < 0).any() or (corners > (frame.picture.width - 1, frame.picture.height - 1)).any())
        shown = seam.openness + 0.25 * gap if seam.is_closed else gap
        cost = (not seam.is_closed or is_cut, shown + 0.03 * _turn(face.landmarks) + is_cut)
        if self.best is None or cost < self.best.cost:
            pixels, scale = crop_lips(frame, face.landmarks)
            self.best = _Closed(cost, gap, seam, crop, pixels, scale)


class MouthObserver:
    """Keeps the widest open mouths of a clip, and its best closed lips."""

    def __init__(self) -> None:
        self._widest: list[tuple[float, int, MouthCrop]] = []  # heap, least open first
        self._closed = _ClosedLips()
        self._shows_mouth = False  # a frame without a mask was seen

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        """Consider one frame of the track pass."""
        if face.is_covered and self._shows_mouth:
            return
        if not (face.is_covered or self._shows_mouth):  # the first bare mouth: what masks looked like counts no more
            self._shows_mouth, self._widest, self._closed = True, [], _ClosedLips()
        gap = _opening(face.landmarks)
        self._closed.consider(frame, face, gap)
        if len(self._widest) < _CANDIDATES or gap > self._widest[0][0]:
            crop = crop_mouth(frame, face.landmarks)
            push = heapq.heappush if len(self._widest) < _CANDIDATES else heapq.heappushpop
            push(self._widest, (gap, face.frame_index, crop))

    def findings(self) -> dict[str, NDArray[np.generic]]:
        """The chosen open mouth, the lips and their colours; empty if the clip has no face.

        `lip_colour` (3,), `skin_colour` (3,) float64 RGB; the fields of the `LipPicture` as `lips`, `lip_contours` and
        `lip_values` (scale, gap, is_closed); when teeth were seen also `exemplar` (256, 256, 3) uint8 RGB and
        `exemplar_points` (K, 2) canonical pixels.
        """
        closed = self._closed.best
        if closed is None:
            return {}
        picture = closed.picture()
        found: dict[str, NDArray[np.generic]] = {
            "lip_colour": closed.crop.lip_colour(),
            "skin_colour": closed.crop.skin_colour(),
            "lips": picture.pixels,
            "lip_contours": picture.contours,
            "lip_values": np.array([picture.scale, picture.gap, picture.is_closed], np.float64),
        }
        chosen = self._choose()
        if chosen is not None:
            found["exemplar"] = chosen.pixels
            found["exemplar_points"] = chosen.points
        return found

    def _choose(self) -> MouthCrop | None:
        crops = [crop for _, _, crop in sorted(self._widest, key=lambda entry: entry[:2])]
        frontal = float(np.median([crop.points[_NOSE, 0] for crop in crops]))

        def score(crop: MouthCrop) -> float:
            """Higher for a mouth that is wide open, seen from the front and full of teeth, clenched ones aside."""
            teeth = crop.tooth_share()
            off_pose = abs(float(crop.points[_NOSE, 0]) - frontal)
            return min(crop.gap, 0.30) - 0.01 * off_pose + 0.12 * min(teeth, 0.35) - 0.2 * max(0.0, teeth - 0.5)

        usable = [crop for crop in crops if crop.gap > _MIN_GAP and crop.tooth_share() > _MIN_TOOTH_SHARE]
        return max(usable, key=score, default=None)


def crop_mouth(frame: SourceFrame, landmarks: NDArray[np.float32]) -> MouthCrop:
    """The canonical crop of a frame, from its own (K, 3) mesh points alone."""
    transform = _own_transform(landmarks)
    pixels = _cut(frame, transform, (SIDE_PX, SIDE_PX))
    width = float(scale_of(transform) * np.linalg.norm(landmarks[_CORNERS[0]] - landmarks[_CORNERS[1]]))
    return MouthCrop(pixels, apply_transform(transform, landmarks[:, :2]), width)


def crop_lips(frame: SourceFrame, landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """`LIP_PART` of a frame's canonical crop at about the frame's own resolution, and its pixels a canonical pixel."""
    transform = _own_transform(landmarks)
    scale = float(np.clip(1.0 / float(scale_of(transform)), 1.0, _MAX_LIP_SCALE))
    left, top, right, bottom = LIP_PART
    finer = scale * transform
    finer[:, 2] += 0.5 * scale - 0.5 - scale * np.array([left, top])
    return _cut(frame, finer, (round((right - left) * scale), round((bottom - top) * scale))), scale


def _own_transform(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) from a frame to the canonical crop, by its own mesh points."""
    own = landmarks[None]
    transform: NDArray[np.float64] = canonical_transforms(own, face_template(own))[0]
    return transform


def _cut(frame: SourceFrame, transform: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a frame, resampled by a transform from its pixels; `size` is (width, height)."""
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], [size[0], size[1]]], np.float64)
    outline = apply_transform(inverse_transform(transform), corners)
    low, high = np.floor(outline.min(0)).astype(int) - 1, np.ceil(outline.max(0)).astype(int) + 2
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.picture.width, frame.picture.height)
    if box.is_empty:
        return np.zeros((size[1], size[0], 3), np.uint8)
    local = transform.copy()
    local[:, 2] += transform[:, :2] @ (box.x0, box.y0)
    is_shrinking = float(scale_of(transform)) < 0.7
    pixels = cv2.warpAffine(
        read_region(frame.picture, box),
        local,
        size,
        flags=cv2.INTER_AREA if is_shrinking else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return pixels.astype(np.uint8, copy=False)


def _turn(landmarks: NDArray[np.float32]) -> float:
    """How far the nose tip lies off the middle of the eyes, in eye distances; 0 when frontal."""
    left, right = landmarks[_EYES[0]].astype(np.float64), landmarks[_EYES[1]].astype(np.float64)
    across = right - left
    along = across[:2] / np.linalg.norm(across[:2])
    offset = landmarks[_NOSE, :2] - (left + right)[:2] / 2
    return float(abs(offset @ along) / np.linalg.norm(across))


def _opening(landmarks: NDArray[np.float32]) -> float:
    """Height of the mouth's opening over its width, of raw (K, 3) mesh points."""
    middle = len(_UPPER) // 2
    opening = np.linalg.norm(landmarks[_LOWER[middle]] - landmarks[_UPPER[middle]])
    return float(opening / np.linalg.norm(landmarks[_CORNERS[1]] - landmarks[_CORNERS[0]]))
