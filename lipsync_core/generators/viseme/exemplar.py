"""Finds the clip's own mouth: an observer of the track pass.

One open mouth with visible teeth and one pair of closed lips are borrowed for the whole clip: fixed ones do not
flicker.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    LOWER_INNER_LIP,
    MOUTH_CORNERS,
    NOSE_TIP,
    UPPER_INNER_LIP,
    rows,
)
from lipsync_core.face.track import Arrays, ReadArrays, TrackedFace
from lipsync_core.generators.viseme.closed_lips import ClosedLips, ClosedMouth
from lipsync_core.generators.viseme.mouth_crop import MouthCrop, crop_mouth
from lipsync_core.media.decode import SourceFrame

_CANDIDATES = 12
_MIN_GAP = 0.10  # in mouth widths: below, too little of the inside shows
_MIN_TOOTH_SHARE = 0.08
_CORNERS = rows(MOUTH_CORNERS)
_UPPER = rows(UPPER_INNER_LIP)
_LOWER = rows(LOWER_INNER_LIP)
_NOSE = int(rows((NOSE_TIP,))[0])


class MouthObserver:
    """Keeps the widest open mouths of a clip, and its best closed lips."""

    def __init__(self) -> None:
        self._widest: list[tuple[float, int, MouthCrop]] = []  # heap, least open first
        self._closed = ClosedLips()
        self._shows_mouth = False  # a frame without a mask was seen

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        """Consider one frame of the track pass."""
        if face.is_covered and self._shows_mouth:
            return
        if not (face.is_covered or self._shows_mouth):  # the first bare mouth: what masks looked like counts no more
            self._shows_mouth, self._widest, self._closed = True, [], ClosedLips()
        gap = _opening(face.landmarks)
        self._closed.consider(frame, face, gap)
        if self._is_wide(gap):
            self._keep(gap, face.frame_index, crop_mouth(frame, face.landmarks))

    def observed(self) -> Arrays:
        """See `ClipObserver.observed`."""
        kept: Arrays = {"shows_mouth": np.array(self._shows_mouth)}
        for name, closed in (("best", self._closed.best), ("least", self._closed.least)):
            if closed is not None:
                kept.update(closed.arrays(name))
        if self._widest:
            crops = [crop for _, _, crop in self._widest]
            kept["widest"] = np.array([entry[:2] for entry in self._widest], np.float64)
            kept["widest.pixels"] = np.stack([crop.pixels for crop in crops])
            kept["widest.points"] = np.stack([crop.points for crop in crops])
            kept["widest.width_px"] = np.array([crop.mouth_width_px for crop in crops])
        return kept

    def absorb(self, observed: ReadArrays) -> None:
        """See `ClipObserver.absorb`."""
        shows_mouth = bool(observed["shows_mouth"])
        if self._shows_mouth and not shows_mouth:  # they have seen masks alone
            return
        if shows_mouth and not self._shows_mouth:
            self._shows_mouth, self._widest, self._closed = True, [], ClosedLips()
        self._closed.absorb(ClosedLips(ClosedMouth.of(observed, "best"), ClosedMouth.of(observed, "least")))
        if "widest" not in observed:
            return
        for number, (gap, frame_index) in enumerate(observed["widest"].astype(np.float64).tolist()):
            if self._is_wide(gap):
                pixels, points = observed["widest.pixels"][number], observed["widest.points"][number]
                crop = MouthCrop(
                    pixels.astype(np.uint8), points.astype(np.float64), float(observed["widest.width_px"][number])
                )
                self._keep(gap, int(frame_index), crop)

    def _is_wide(self, gap: float) -> bool:
        return len(self._widest) < _CANDIDATES or gap > self._widest[0][0]

    def _keep(self, gap: float, frame_index: int, crop: MouthCrop) -> None:
        push = heapq.heappush if len(self._widest) < _CANDIDATES else heapq.heappushpop
        push(self._widest, (gap, frame_index, crop))

    def findings(self) -> Arrays:
        """The chosen open mouth, the lips and their colours; empty if the clip has no face.

        `lip_colour` (3,), `skin_colour` (3,) float64 RGB; the fields of the `LipPicture` as `lips`, `lip_contours` and
        `lip_values` (scale, gap, is_closed); when teeth were seen also `exemplar` (256, 256, 3) uint8 RGB and
        `exemplar_points` (K, 2) canonical pixels.
        """
        closed = self._closed.chosen()
        if closed is None:
            return {}
        found = dict(closed.findings)
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


def _opening(landmarks: NDArray[np.float32]) -> float:
    """Height of the mouth's opening over its width, of raw (K, 3) mesh points."""
    middle = len(_UPPER) // 2
    opening = np.linalg.norm(landmarks[_LOWER[middle]] - landmarks[_UPPER[middle]])
    return float(opening / np.linalg.norm(landmarks[_CORNERS[1]] - landmarks[_CORNERS[0]]))
