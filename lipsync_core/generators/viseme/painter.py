"""The painting half of `viseme`: a warp of the frame's own pixels, and a mouth interior borrowed from the clip."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP, rows
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.contract import GeneratorSpec, Painted, Painter
from lipsync_core.generators.viseme.canonical import MOVING_PART, apply_transform, inverse_transform, scale_of
from lipsync_core.generators.viseme.geometry import ClipGeometry, FramePlace, FramePose
from lipsync_core.generators.viseme.likeness import ClosedLook
from lipsync_core.generators.viseme.lips import LIP_PART, LipTexture, lip_picture
from lipsync_core.generators.viseme.mouth import BorrowedTeeth, DrawnTeeth, InsideGrid, paint_inside
from lipsync_core.generators.viseme.mouth_crop import SKIN_POINTS, MouthCrop
from lipsync_core.generators.viseme.seam import Seam, find_seam
from lipsync_core.generators.viseme.shape import MouthShape, mouth_shape
from lipsync_core.generators.viseme.warp import RING, mouth_warp
from lipsync_core.media.planes import Box

#: Of both halves; raise its version with every change that may alter an edit or what is made of it.
VISEME = GeneratorSpec("viseme", version="2", licence="Apache-2.0 (this project)", needs_mesh=True, hears_at="middle")

#: Nose offset in eye distances: further turned, the far half of the mouth is guesswork.
MAX_TURN = 0.35

_UPPER_INNER, _LOWER_INNER = rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP)
_MIN_SCORE = 0.5
_MOST_SEEN, _SEEN_SLACK = 0.115, 0.05  # mouth widths: the mesh never sees closed lips further apart
_FULL_GAP = 0.03  # mouth widths: a narrower opening is the line in which lips meet, and fades
_LEAST_TEETH = 0.045  # mouth widths: of a lower row, the mesh has taken the teeth for lip
_RIM_PX = 2.0  # canonical pixels around the opening in which the inside fades out


class VisemePainting:
    """Implements `PaintingHalf`."""

    def painter(self, track: FaceTrack, findings: dict[str, NDArray[np.generic]]) -> Painter:
        """A painter for the clip; the track must hold at least one face."""
        return VisemePainter(track, findings)


class VisemePainter:
    """Paints mouth shapes into the frames of one clip."""

    def __init__(self, track: FaceTrack, findings: dict[str, NDArray[np.generic]]) -> None:
        self._track = track
        self._geometry = ClipGeometry(track)
        self._lip = findings["lip_colour"].astype(np.float32)
        picture = lip_picture(findings)
        self._rest, self._texture = picture.resting(), LipTexture(picture)
        self._closed_look = ClosedLook(picture) if picture.is_closed else None
        self._teeth: BorrowedTeeth | DrawnTeeth = DrawnTeeth(findings["skin_colour"].astype(np.float64))
        if "exemplar" in findings:
            crop = MouthCrop(
                findings["exemplar"].astype(np.uint8),
                findings["exemplar_points"].astype(np.float64),
                self._geometry.mouth_width_px,
            )
            borrowed = BorrowedTeeth(crop)
            if borrowed.height > _LEAST_TEETH:
                self._teeth = borrowed

    def region(self, frame_index: int) -> Box | None:
        """The box of the moving part of the face; None without a face, or if it is turned too far."""
        if self._track.scores[frame_index] < _MIN_SCORE:
            return None
        place = self._geometry.place(frame_index)
        return None if place is None or place.turn > MAX_TURN else _crop_box(place)

    def paint(self, region: NDArray[np.uint8], box: Box, frame_index: int, edit: NDArray[np.float32]) -> Painted:
        """Move the mouth in `region` to the edit's shape."""
        pose = self._geometry.pose(frame_index)
        if pose is None:
            raise ValueError(f"frame {frame_index} has no face")
        to_canonical = pose.transform.copy()
        to_canonical[:, 2] += pose.transform[:, :2] @ (box.x0, box.y0)
        seam = _own_seam(region, pose, to_canonical, self._closed_look)
        shape = mouth_shape(pose, self._geometry.mouth_width_px, self._rest, edit, RING, seam)
        warp = mouth_warp(shape, to_canonical, region.shape[:2])
        brightness = _brightness(region, apply_transform(inverse_transform(to_canonical), pose.points[SKIN_POINTS]))
        painted = Painted(warp.apply(region), warp.strength)
        self._texture.paint(painted.pixels, shape, to_canonical)
        self._fill_mouth(painted, shape, to_canonical, brightness)
        return painted

    def _fill_mouth(
        self, painted: Painted, shape: MouthShape, to_canonical: NDArray[np.float64], brightness: float
    ) -> None:
        """Paint the inside of the mouth over the warped pixels of `painted`, in place."""
        seen = min(1.0, max(0.0, shape.gap / _FULL_GAP))
        if not seen:
            return
        outline = _opening_outline(shape, inverse_transform(to_canonical))
        rim_px = 2.0 + _RIM_PX / float(scale_of(to_canonical))
        height, width = painted.mask.shape
        low = np.floor(outline.min(0) - rim_px).astype(int)
        high = np.ceil(outline.max(0) + rim_px).astype(int) + 1
        x0, y0, x1, y1 = max(0, low[0]), max(0, low[1]), min(width, high[0]), min(height, high[1])
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        opacity = _filled(outline - (x0, y0), (y1 - y0, x1 - x0), 0.8 / float(scale_of(to_canonical))) * seen
        local = to_canonical.copy()
        local[:, 2] += to_canonical[:, :2] @ (x0, y0)
        grid = _inside_grid(shape, local, opacity.shape)
        inside = paint_inside(grid, shape, self._teeth, self._lip, brightness)
        beneath = painted.pixels[y0:y1, x0:x1]
        joined = beneath + (inside - beneath) * opacity[..., None]
        painted.pixels[y0:y1, x0:x1] = np.clip(np.rint(joined), 0, 255)
        patch = painted.mask[y0:y1, x0:x1]
        np.maximum(patch, (opacity * 4.0).clip(0.0, 1.0), out=patch)


def _own_seam(
    region: NDArray[np.uint8], pose: FramePose, to_canonical: NDArray[np.float64], look: ClosedLook | None
) -> Seam | None:
    """The line between the lips of a region, canonical pixels; None if they are certainly open."""
    opening_px = float((pose.points[_LOWER_INNER, 1] - pose.points[_UPPER_INNER, 1]).max())
    trust = (_MOST_SEEN - opening_px / pose.mouth_width_px) / _SEEN_SLACK
    if trust <= 0.0:
        return None
    left, top, right, bottom = LIP_PART
    local = to_canonical.copy()
    local[:, 2] -= (left, top)
    warped = cv2.warpAffine(region, local, (right - left, bottom - top), borderMode=cv2.BORDER_REPLICATE)
    lips = warped.astype(np.uint8, copy=False)
    seam = find_seam(lips, pose.points - (left, top))
    likeness = 1.0 if look is None else look.likeness(lips, seam.line)
    return replace(seam, line=seam.line + np.array([left, top]), trust=min(1.0, trust), likeness=likeness)


def _crop_box(place: FramePlace) -> Box:
    """The upright box of frame pixels that holds the moving part of the face."""
    left, top, right, bottom = MOVING_PART
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
    outline = apply_transform(inverse_transform(place.transform), corners)
    low, high = np.floor(outline.min(0)).astype(int), np.ceil(outline.max(0)).astype(int) + 1
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _brightness(region: NDArray[np.uint8], points: NDArray[np.float64]) -> float:
    """Mean value of the cheeks, 0..255, around (P, 2) region pixels."""
    height, width = region.shape[:2]
    reach = max(2, round(0.018 * width))
    at = np.clip(np.rint(points).astype(int), reach, np.maximum(reach, (width - 1 - reach, height - 1 - reach)))
    return float(np.mean([region[y - reach : y + reach + 1, x - reach : x + reach + 1].mean() for x, y in at])) + 1.0


def _opening_outline(shape: MouthShape, to_region: NDArray[np.float64]) -> NDArray[np.float64]:
    """(20, 2) the inner lip contour in region pixels."""
    return apply_transform(to_region, np.concatenate([shape.upper_edge, shape.lower_edge[-2:0:-1]]))


def _filled(outline: NDArray[np.float64], size: tuple[int, int], blur_px: float) -> NDArray[np.float32]:
    """(h, w) 0..1 coverage of a polygon, softened; drawn at twice the size for smooth edges."""
    drawn = np.zeros((size[0] * 2, size[1] * 2), np.uint8)
    cv2.fillPoly(drawn, [np.rint((outline * 2 + 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    small = cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return (cv2.GaussianBlur(small, (0, 0), max(blur_px, 0.3)) / 255.0).astype(np.float32)


def _inside_grid(shape: MouthShape, to_canonical: NDArray[np.float64], size: tuple[int, int]) -> InsideGrid:
    """The position in the mouth of each pixel of a (height, width) box."""
    columns, lines = np.arange(size[1]), np.arange(size[0])[:, None]
    turn, shift = to_canonical[:, :2], to_canonical[:, 2]
    across = turn[0, 0] * columns + turn[0, 1] * lines + shift[0]  # (h, w) canonical x
    down = turn[1, 0] * columns + turn[1, 1] * lines + shift[1]  # (h, w) canonical y
    left, right = shape.upper_edge[0, 0], shape.upper_edge[-1, 0]
    share = (across - (left + right) / 2) / max((right - left) / 2, 1.0)
    upper = np.interp(across, shape.upper_edge[:, 0], shape.upper_edge[:, 1])
    lower = np.interp(across, shape.lower_edge[:, 0], shape.lower_edge[:, 1])
    return InsideGrid(
        across=across.astype(np.float32),
        across_share=share.clip(-1.2, 1.2).astype(np.float32),
        below_upper=((down - upper) / shape.mouth_width_px).astype(np.float32),
        above_lower=((lower - down) / shape.mouth_width_px).astype(np.float32),
        gap=shape.gap,
    )
