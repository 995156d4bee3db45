"""Finds the closed lips of a clip, which are borrowed for all of its frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    MOUTH_CORNERS,
    NOSE_TIP,
    OUTER_EYE_CORNERS,
    rows,
)
from lipsync_core.face.track import Arrays, ReadArrays, TrackedFace
from lipsync_core.generators.viseme.lips import lip_contours
from lipsync_core.generators.viseme.mouth_crop import MouthCrop, crop_lips, crop_mouth
from lipsync_core.generators.viseme.seam import Seam, find_seam
from lipsync_core.media.decode import SourceFrame

_MOST_SEEN_GAP = 0.13  # mouth widths: the mesh never sees closed lips further apart
_MOST_REST_GAP = 0.05  # and mostly not so far
_ALL_OF_FIRST, _LATER_EVERY = 300, 4  # of the clip's first frames all are looked at, of the later ones one in four
_CORNERS = rows(MOUTH_CORNERS)
_EYES = rows(OUTER_EYE_CORNERS)
_NOSE = int(rows((NOSE_TIP,))[0])


@dataclass(frozen=True, slots=True, eq=False)
class ClosedMouth:
    """A frame whose lips are closed, or nearly so."""

    gap: float
    frame_index: int
    cost: tuple[float, float]  # whether the picture shows them open (1), and by how much they are; less is better
    findings: Arrays

    @property
    def rank(self) -> tuple[float, float, int]:
        """Less is better; of equal ones the first."""
        return (*self.cost, self.frame_index)

    def arrays(self, name: str) -> Arrays:
        """All values, named after `name`."""
        values = np.array([self.gap, self.frame_index, *self.cost], np.float64)
        return {name: values, **{f"{name}.{key}": array for key, array in self.findings.items()}}

    @classmethod
    def of(cls, arrays: ReadArrays, name: str) -> "ClosedMouth | None":
        """The one that `arrays` gave; None if they hold none."""
        if name not in arrays:
            return None
        gap, frame_index, is_open, openness = arrays[name].astype(np.float64).tolist()
        prefix = f"{name}."
        found = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        return cls(gap, int(frame_index), (is_open, openness), found)


class ClosedLips:
    """Finds the best closed lips of a clip, or the least open ones."""

    def __init__(self, best: ClosedMouth | None = None, least: ClosedMouth | None = None) -> None:
        self.best = best  # of the frames in which they may be closed
        self.least = least  # where the mesh has them least open

    def consider(self, frame: SourceFrame, face: TrackedFace, gap: float) -> None:
        """Look at one frame, if its lips may be closed or are less open than all before."""
        is_least = self.least is None or gap < self.least.gap
        is_sampled = frame.index < _ALL_OF_FIRST or frame.index % _LATER_EVERY == 0
        may_be_closed = is_sampled and gap <= _MOST_SEEN_GAP
        if not (is_least or may_be_closed):
            return
        crop = crop_mouth(frame, face.landmarks)
        seam = find_seam(crop.pixels, crop.points)
        corners = face.landmarks[_CORNERS, :2]
        is_cut = bool((corners < 0).any() or (corners > (frame.picture.width - 1, frame.picture.height - 1)).any())
        shown = seam.openness + 0.25 * gap if seam.is_closed else gap
        cost = (float(not seam.is_closed or is_cut), shown + 0.03 * _turn(face.landmarks) + is_cut)
        is_best = may_be_closed and (self.best is None or cost < self.best.cost)
        if not (is_least or is_best):
            return
        found = ClosedMouth(gap, frame.index, cost, _lip_findings(frame, face, crop, seam, gap))
        self.least = found if is_least else self.least
        self.best = found if is_best else self.best

    def absorb(self, later: "ClosedLips") -> None:
        """Take in those of later frames."""
        if later.best and (self.best is None or later.best.cost < self.best.cost):
            self.best = later.best
        if later.least and (self.least is None or later.least.gap < self.least.gap):
            self.least = later.least

    def chosen(self) -> ClosedMouth | None:
        """The best of both; None where no frame was considered."""
        return min((each for each in (self.best, self.least) if each), key=lambda each: each.rank, default=None)


def _lip_findings(frame: SourceFrame, face: TrackedFace, crop: MouthCrop, seam: Seam, gap: float) -> Arrays:
    """The lips of a frame and their colours, as `MouthObserver.findings` names them."""
    pixels, scale = crop_lips(frame, face.landmarks)
    return {
        "lip_colour": crop.lip_colour(),
        "skin_colour": crop.skin_colour(),
        "lips": pixels,
        "lip_contours": lip_contours(crop.points, seam, crop.mouth_width_px),
        "lip_values": np.array([scale, min(gap, _MOST_REST_GAP), seam.is_closed], np.float64),
    }


def _turn(landmarks: NDArray[np.float32]) -> float:
    """How far the nose tip lies off the middle of the eyes, in eye distances; 0 when frontal."""
    left, right = landmarks[_EYES[0]].astype(np.float64), landmarks[_EYES[1]].astype(np.float64)
    across = right - left
    along = across[:2] / np.linalg.norm(across[:2])
    offset = landmarks[_NOSE, :2] - (left + right)[:2] / 2
    return float(abs(offset @ along) / np.linalg.norm(across))
