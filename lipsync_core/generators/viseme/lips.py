"""The clip's own lips: the picture of them in the frame that shows them best closed, and how it is painted.

A frame whose mouth is open cannot give closed lips by a warp alone: they are stretched thin, and teeth lie between
them. So lips and corners then come from one fixed picture, bent to the wanted contours and lit like the frame.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, LOWER_OUTER_LIP, UPPER_INNER_LIP, UPPER_OUTER_LIP, rows
from lipsync_core.generators.viseme.canonical import SIDE_PX, inverse_transform, scale_of
from lipsync_core.generators.viseme.contours import UPPER_SHARE, RestingLips
from lipsync_core.generators.viseme.seam import Seam
from lipsync_core.generators.viseme.shape import MouthShape

#: The part of the canonical crop that is kept as a picture of the lips (left, top, right, bottom).
LIP_PART = (36, 52, 220, 180)

_ROWS = (rows(UPPER_OUTER_LIP), rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP), rows(LOWER_OUTER_LIP))
_PRESS = 0.035  # of the mouth's width: an open mouth's inner contours are drawn so far into its lips
_LIP_GROWTH = 1.15  # lips stretched by opening regain this much of their height
_LEAST_UPPER, _LEAST_LOWER = 0.085, 0.12  # and are at least so high in their middle, in mouth widths
_OPEN_LINE = 0.5  # of an open mouth's bend stays where its lips meet
_CORE, _FADE = 0.02, 0.07  # mouth widths around the lips that are painted fully, and in which they fade out
_LIGHT_NEAR, _LIGHT_FAR = 0.04, 0.24  # mouth widths around the lips in which the light is compared
_LIGHT_SIGMA = 0.12  # mouth widths
_LIP_LIGHT, _LIP_LIGHT_DEPTH = 0.6, 0.03  # weight of the lips in it, and their depth where no tooth shows
_USUAL_WIDTH_PX = 75.0
#: Distances beyond the corners and below count less, so more is painted there: an open mouth's own corners, and the rim
#: of a lower lip that the mesh sees too high.
_BEYOND, _BELOW = 0.6, 0.5
_LIGHT_STEP = 2  # canonical pixels
_LIGHT_RANGE = (0.45, 2.2)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709
_SEAM_COLOURS = np.array([0.8, 1.15, 1.1], np.float32)  # the shadow between lips is red
_SEAM_HEIGHT, _SEAM_DEPTH = 0.018, 0.45  # of the line that is drawn between lips which the clip never shows closed


@dataclass(frozen=True, slots=True, eq=False)
class LipPicture:
    """The lips of one frame."""

    pixels: NDArray[np.uint8]  # (h, w, 3) RGB of `LIP_PART`, `scale` pixels a canonical pixel
    scale: float
    contours: NDArray[np.float64]  # (4, 11, 2) canonical: upper outer and inner, lower inner and outer lip
    gap: float  # opening that the mesh sees, in mouth widths
    is_closed: bool

    def resting(self) -> RestingLips:
        """The measures of these lips when closed."""
        upper_outer, upper_inner, lower_inner, lower_outer = self.contours[..., 1]
        line = upper_inner + UPPER_SHARE * (lower_inner - upper_inner)
        along = self.contours[1, :, 0] - self.contours[1, 0, 0]
        chord = line[0] + (line[-1] - line[0]) * along / max(float(along[-1]), 1.0)
        upper_px, lower_px = (upper_inner - upper_outer).clip(0.0), (lower_outer - lower_inner).clip(0.0)
        if self.is_closed:
            return RestingLips(self.gap, line - chord, upper_px, lower_px)
        arch = (1.0 - np.linspace(-1.0, 1.0, len(line)) ** 2) * float(along[-1])
        upper_px, lower_px = _LIP_GROWTH * upper_px, _LIP_GROWTH * lower_px
        least_upper, least_lower = np.maximum(upper_px, _LEAST_UPPER * arch), np.maximum(lower_px, _LEAST_LOWER * arch)
        return RestingLips(0.0, _OPEN_LINE * (line - chord), least_upper, least_lower)


def lip_picture(findings: dict[str, NDArray[np.generic]]) -> LipPicture:
    """The picture in the findings of `MouthObserver`."""
    scale, gap, is_closed = findings["lip_values"].astype(np.float64).tolist()
    contours = findings["lip_contours"].astype(np.float64)
    return LipPicture(findings["lips"].astype(np.uint8), scale, contours, gap, bool(is_closed))


def lip_contours(points: NDArray[np.float64], seam: Seam, mouth_width_px: float) -> NDArray[np.float64]:
    """(4, 11, 2) contours of the lips of (K, 2) canonical mesh points; those of closed lips meet in the `seam`."""
    contours = np.stack([points[row] for row in _ROWS])
    contours[..., 0] = np.maximum.accumulate(contours[..., 0], axis=1)
    if seam.is_closed:
        for inner in contours[1:3]:
            inner[:, 1] = np.interp(inner[:, 0], seam.line[:, 0], seam.line[:, 1])
        contours[1:3] = contours[1:3].mean(0)
        return contours
    press_px = _PRESS * mouth_width_px
    contours[1, :, 1] -= press_px
    contours[2, :, 1] += press_px
    return contours


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """Where the colours of canonical pixels lie in a `LipPicture`; all (h, w) float32."""

    distance: NDArray[np.float32]  # from the wanted lips, in mouth widths, less beside and below them; 0 inside
    depth: NDArray[np.float32]  # from the edge of the opening into the lips, in mouth widths
    below: NDArray[np.float32]  # distance below the line between the lips, canonical pixels
    columns: NDArray[np.float32]  # x in the picture
    upper: NDArray[np.float32]  # y in the picture, for the upper lip
    lower: NDArray[np.float32]  # and for the lower one, the same if the picture shows closed lips

    def parts(self) -> tuple[NDArray[np.float32], ...]:
        """All arrays, in the order above."""
        return self.distance, self.depth, self.below, self.columns, self.upper, self.lower


class LipTexture:
    """Paints a `LipPicture` into frames."""

    def __init__(self, picture: LipPicture) -> None:
        self._picture = picture
        self._columns = _knots(picture.contours[0], picture.contours[3])  # (11,)
        at = np.arange(SIDE_PX)
        self._lines = np.stack([_extended(row, at) for row in picture.contours])  # (4, 256)

    def paint(self, pixels: NDArray[np.uint8], shape: MouthShape, to_canonical: NDArray[np.float64]) -> None:
        """Paint the lips over `pixels` ((h, w, 3) RGB, in place) where `shape` asks for them.

        Args:
            pixels: a region whose own pixels already have the wanted contours.
            shape: the wanted mouth.
            to_canonical: (2, 3) from the region's pixels to the canonical crop.
        """
        if shape.repaint <= 0.0:
            return
        window = _window(shape)
        left, top, right, bottom = window
        places = self._map(shape, np.arange(left, right), np.arange(top, bottom))
        opacity = ((_CORE + _FADE - places.distance) / _FADE).clip(0.0, 1.0)
        opacity = (opacity**2 * (3.0 - 2.0 * opacity) * shape.repaint).astype(np.float32)
        box = _bounds(opacity, (left, top), to_canonical, pixels.shape[:2])
        if box is None:
            return
        x0, y0, x1, y1 = box
        beneath = pixels[y0:y1, x0:x1]
        local = to_canonical.copy()
        local[:, 2] += to_canonical[:, :2] @ (x0, y0) - (left, top)
        size = (y1 - y0, x1 - x0)
        layers = _into_region(np.dstack([places.columns, places.upper, places.lower, opacity]), local, size)
        light = _into_region(self._light(pixels, places, window, to_canonical), local, size)
        lips = self._sampled(layers[..., 0], layers[..., 1])
        if not self._picture.is_closed:
            lower = self._sampled(layers[..., 0], layers[..., 2])
            seam = np.dstack([places.below, _seam_depth(shape, np.arange(left, right), places.below.shape)])
            away = _into_region(seam, local, size)  # (h, w, 2)
            lips = lips + (lower - lips) * (away[..., :1] / float(scale_of(to_canonical)) + 0.5).clip(0.0, 1.0)
            shade = away[..., 1:] * np.exp(-np.abs(away[..., :1]) / (_SEAM_HEIGHT * shape.mouth_width_px))
            light *= 1.0 - shade * _SEAM_COLOURS
        joined = beneath + (lips * light - beneath) * layers[..., 3:]
        pixels[y0:y1, x0:x1] = np.clip(np.rint(joined), 0, 255)

    def _sampled(self, across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w, 3) the picture at (h, w) positions."""
        found = cv2.remap(self._picture.pixels, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return found.astype(np.float32)

    def _map(self, shape: MouthShape, columns: NDArray[np.integer], lines: NDArray[np.integer]) -> _Map:
        """The map for canonical columns (w,) and lines (h,)."""
        goals = np.stack([_extended(row, columns) for row in shape.contours])  # (4, w)
        knots = _knots(shape.contours[0], shape.contours[3])
        across = _mapped(columns.astype(np.float64), knots, self._columns)  # (w,)
        own = np.stack([np.interp(across, np.arange(SIDE_PX), row) for row in self._lines])  # (4, w)
        down = lines[:, None].astype(np.float64)  # (h, 1)
        line = (goals[1] + goals[2]) / 2
        upper = np.minimum(down - goals[0], 0.0) + own[0] + _share(down, goals[0], goals[1]) * (own[1] - own[0])
        lower = np.maximum(down - goals[3], 0.0) + own[2] + _share(down, goals[2], goals[3]) * (own[3] - own[2])
        if self._picture.is_closed:
            upper = lower = np.where(down < line, upper, lower)
        beyond = _BEYOND * np.maximum(np.maximum(knots[0] - columns, columns - knots[-1]), 0.0)
        outside = np.maximum(np.maximum(goals[0] - down, _BELOW * (down - goals[3])), 0.0)
        inside = np.maximum(goals[1] - down, down - goals[2])
        left, top = LIP_PART[:2]
        columns_px, upper_px, lower_px = (
            np.broadcast_to((at + 0.5) * self._picture.scale - 0.5, upper.shape).astype(np.float32)
            for at in (across - left, upper - top, lower - top)
        )
        width_px = shape.mouth_width_px
        return _Map(
            distance=(np.hypot(beyond, outside) / width_px).astype(np.float32),
            depth=(inside / width_px).astype(np.float32),
            below=(down - line).astype(np.float32),
            columns=columns_px,
            upper=upper_px,
            lower=lower_px,
        )

    def _light(
        self,
        pixels: NDArray[np.uint8],
        places: _Map,
        window: tuple[int, int, int, int],
        to_canonical: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """(h, w, 3) on the canonical pixels of `window`: the factor from the picture's light to the frame's.

        It is measured on the skin around the lips and on the lips themselves, and spreads smoothly.
        """
        step, (left, top, right, bottom) = _LIGHT_STEP, window
        near, depth, below, columns, upper, lower = (part[::step, ::step] for part in places.parts())
        from_sparse = np.array([[step, 0.0, left], [0.0, step, top]])
        to_frame = _composed(inverse_transform(to_canonical), from_sparse)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(pixels, to_frame, near.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        own = cv2.remap(self._picture.pixels, columns, np.where(below < 0, upper, lower), cv2.INTER_LINEAR)
        factor = _light_factor(frame.astype(np.float32), own.astype(np.float32), near, depth)
        return cv2.resize(factor, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _light_factor(
    frame: NDArray[np.float32], own: NDArray[np.float32], near: NDArray[np.float32], depth: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(h, w, 3) the smooth factor from the light of `own` to that of `frame`, both (h, w, 3) at the same places.

    Only its brightness changes from place to place. Its colour is that of all the skin: beside an open mouth's lips
    there may lie skin where `own` has lip, or the reverse, and such a local colour would make the lips grey.
    """
    skin = ((near > _LIGHT_NEAR) & (near < _LIGHT_FAR)) + np.float32(1e-4)
    weight = skin + _LIP_LIGHT * ((near == 0.0) & (depth > _LIP_LIGHT_DEPTH))
    frame_skin, own_skin = (np.tensordot(skin, pixels, 2) for pixels in (frame, own))  # (3,)
    colour = frame_skin / np.maximum(own_skin, 1e-3)
    colour *= (own_skin @ _LUMA) / max(float(frame_skin @ _LUMA), 1e-3)
    layers = np.dstack([(frame @ _LUMA) * weight, (own @ _LUMA) * weight]).astype(np.float32)
    blurred = cv2.GaussianBlur(layers, (0, 0), _LIGHT_SIGMA * _USUAL_WIDTH_PX / _LIGHT_STEP)
    light = blurred[..., 0] / np.maximum(blurred[..., 1], 1e-3)
    factor: NDArray[np.float32] = (light[..., None] * colour).clip(*_LIGHT_RANGE).astype(np.float32)
    return factor


def _window(shape: MouthShape) -> tuple[int, int, int, int]:
    """The part of `LIP_PART` (left, top, right, bottom) in which lips are painted and their light is measured."""
    margin_px = _LIGHT_FAR * shape.mouth_width_px
    low = np.floor(shape.contours.min((0, 1)) - margin_px).astype(int)
    high = np.ceil(shape.contours.max((0, 1)) + margin_px).astype(int)
    left, top, right, bottom = LIP_PART
    x0, y0 = min(max(left, int(low[0])), right - 2), min(max(top, int(low[1])), bottom - 2)
    return x0, y0, max(x0 + 2, min(right, int(high[0]))), max(y0 + 2, min(bottom, int(high[1])))


def _knots(upper_outer: NDArray[np.float64], lower_outer: NDArray[np.float64]) -> NDArray[np.float64]:
    """(11,) strictly ascending x of corresponding columns of a mouth, corner to corner."""
    across = (upper_outer[:, 0] + lower_outer[:, 0]) / 2
    knots: NDArray[np.float64] = np.maximum.accumulate(across) + 1e-3 * np.arange(len(across))
    return knots


def _mapped(
    columns: NDArray[np.float64], knots: NDArray[np.float64], own_knots: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Columns of the wanted mouth to those of the picture; beyond the corners they run parallel."""
    inside: NDArray[np.float64] = np.interp(columns, knots, own_knots)
    inside += np.minimum(columns - knots[0], 0.0) + np.maximum(columns - knots[-1], 0.0)
    return inside


def _extended(row: NDArray[np.float64], columns: NDArray[np.integer]) -> NDArray[np.float64]:
    """The y of a lip row at canonical columns; level beyond its ends."""
    heights: NDArray[np.float64] = np.interp(columns, row[:, 0] + 1e-3 * np.arange(len(row)), row[:, 1])
    return heights


def _share(down: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """(h, w) 0 at `start`, 1 at `end`, both (w,)."""
    share: NDArray[np.float64] = ((down - start) / np.maximum(end - start, 0.5)).clip(0.0, 1.0)
    return share


def _bounds(
    opacity: NDArray[np.float32], corner: tuple[int, int], to_canonical: NDArray[np.float64], size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The box of region pixels (x0, y0, x1, y1) that a canonical `opacity` touches; None if there is none."""
    columns, lines = np.flatnonzero(opacity.any(0)), np.flatnonzero(opacity.any(1))
    if not len(columns):
        return None
    xs, ys = (columns[0] - 1, columns[-1] + 1), (lines[0] - 1, lines[-1] + 1)
    corners = np.array([(x + corner[0], y + corner[1]) for x in xs for y in ys], np.float64)
    back = inverse_transform(to_canonical)
    outline = corners @ back[:, :2].T + back[:, 2]
    low, high = np.floor(outline.min(0)).astype(int), np.ceil(outline.max(0)).astype(int) + 1
    x0, y0, x1, y1 = max(0, low[0]), max(0, low[1]), min(size[1], high[0]), min(size[0], high[1])
    return None if x1 - x0 < 2 or y1 - y0 < 2 else (int(x0), int(y0), int(x1), int(y1))


def _seam_depth(shape: MouthShape, columns: NDArray[np.integer], size: tuple[int, ...]) -> NDArray[np.float32]:
    """(h, w) 0..1 how dark the shadow is in which two lips meet; it fades towards the corners."""
    left, right = shape.upper_edge[[0, -1], 0]
    along = (columns - (left + right) / 2) / max(float(right - left) / 2, 1.0)
    return np.broadcast_to(_SEAM_DEPTH * (1.0 - along**4).clip(0.0), size).astype(np.float32)


def _composed(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) `inner` first, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def _into_region(
    canonical: NDArray[np.float32], to_canonical: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(canonical, to_canonical, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped.astype(np.float32, copy=False)
