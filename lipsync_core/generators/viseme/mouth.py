"""The inside of the mouth: teeth borrowed from the clip (or drawn), over a dark cavity with a tongue.

Upper teeth hang from the upper lip and do not stretch; the lower lip slides over them. Everything
is computed in the box around the opening only, at the frame's own resolution.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, UPPER_INNER_LIP, rows
from lipsync_core.generators.viseme.canonical import SIDE_PX
from lipsync_core.generators.viseme.mouth_crop import MouthCrop
from lipsync_core.generators.viseme.shape import MouthShape

_UPPER, _LOWER = rows(UPPER_INNER_LIP), rows(LOWER_INNER_LIP)

# Colours of the inside as shares of the lip's own colour (R, G, B).
_CAVITY = np.array([0.26, 0.20, 0.20], np.float32)
_TONGUE = np.array([0.62, 0.44, 0.45], np.float32)
_SEAM = np.array([0.42, 0.31, 0.31], np.float32)
_GLOW = 0.75  # the share of the seam's colour that full shadow keeps
#: Drawn teeth take the skin's brightness but only part of its hue, and are never whiter than this.
_ENAMEL_TINT = np.array([1.20, 1.17, 1.10], np.float32)
_ENAMEL_HUE = 0.40
_WHITEST = np.array([226.0, 219.0, 208.0], np.float32)

# Drawn teeth, in mouth widths.
_TOOTH_HEIGHT = 0.102
#: Where one tooth ends and the next begins, from the midline: central and lateral incisor, canine, premolar.
_TOOTH_EDGES = (0.150, 0.265, 0.365, 0.45)
_TOOTH_ROUND, _TOOTH_ROUND_WIDTH = 0.22, 0.012  # how much shorter a tooth is at its corners, and their width
_GAP_DEPTH, _GAP_WIDTH = 0.24, 0.008  # the dark line between two teeth
_LIP_SHADOW = 0.07  # height of the upper lip's shadow on them
_TOOTH_LENGTHS = (1.0, 0.86, 0.90, 0.72, 0.55)


@dataclass(frozen=True, slots=True, eq=False)
class InsideGrid:
    """The box around the opening: the position of each of its pixels in the mouth.

    All arrays float32; distances in mouth widths.
    """

    across: NDArray[np.float32]  # (h, w) canonical x, pixels
    across_share: NDArray[np.float32]  # (h, w) -1 at the left corner .. +1 at the right
    below_upper: NDArray[np.float32]  # (h, w) distance below the upper lip
    above_lower: NDArray[np.float32]  # (h, w) distance above the lower lip
    gap: float


class BorrowedTeeth:
    """The open mouth of one frame of the clip."""

    def __init__(self, crop: MouthCrop) -> None:
        self._upper, self._lower = crop.points[_UPPER], crop.points[_LOWER]
        self._middle_x = float(self._upper[[0, -1], 0].mean())
        self._width_px = float(self._upper[-1, 0] - self._upper[0, 0])
        self._brightness = crop.brightness() + 1.0
        inside = _shrunk(crop.inner_mask(), max(1, round(0.02 * crop.mouth_width_px)))
        pixels = crop.pixels.astype(np.float32)
        self._height_px = _tooth_row_px(pixels, self._upper, self._lower)
        # The nearest inside colours continue beyond the mask, so that resampling at its rim takes in no lip.
        weight = cv2.GaussianBlur(inside, (0, 0), 3.0)[..., None]
        spread = cv2.GaussianBlur(pixels * inside[..., None], (0, 0), 3.0) / np.maximum(weight, 1e-3)
        solid = cv2.GaussianBlur(inside, (0, 0), 1.0)[..., None]
        self._pixels = np.where(weight > 1e-3, pixels * solid + spread * (1.0 - solid), 0.0).astype(np.float32)
        self._opacity = cv2.GaussianBlur(_shrunk(crop.inner_mask(), 0), (0, 0), 1.2)

    @property
    def height(self) -> float:
        """Of the row of teeth, in widths of the mouth that shows it."""
        return self._height_px / max(self._width_px, 1.0)

    def paint(
        self, grid: InsideGrid, shape: MouthShape, brightness: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(h, w, 3) RGB and (h, w) opacity of the teeth in `grid`."""
        middle_x = float(shape.upper_edge[[0, -1], 0].mean())
        width_px = float(shape.upper_edge[-1, 0] - shape.upper_edge[0, 0])
        columns = self._middle_x + (grid.across - middle_x) * min(1.0, self._width_px / max(width_px, 1.0))
        depth_px = grid.below_upper * shape.mouth_width_px
        lip = _edge_table(self._upper)[np.clip(columns.astype(np.intp), 0, SIDE_PX - 1)]
        colours = cv2.remap(self._pixels, columns, lip + depth_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.remap(self._opacity, columns, lip + depth_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        arch = 1.0 - 0.35 * grid.across_share**2
        row_px = self._height_px * arch
        opacity = opacity * ((row_px - depth_px) / 3.0 + 0.5).clip(0.0, 1.0)
        return colours * np.float32(np.clip(brightness / self._brightness, 0.6, 1.25)), opacity


class DrawnTeeth:
    """Upper teeth for a clip that never shows its own."""

    def __init__(self, skin_colour: NDArray[np.float64]) -> None:
        skin = skin_colour.astype(np.float32)
        light = float(skin @ np.array([0.2126, 0.7152, 0.0722], np.float32))  # luma of BT.709
        self._enamel = np.minimum((light + (skin - light) * _ENAMEL_HUE) * _ENAMEL_TINT, _WHITEST)

    def paint(
        self, grid: InsideGrid, shape: MouthShape, brightness: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(h, w, 3) RGB and (h, w) opacity of the teeth in `grid`."""
        aside = np.abs(grid.across_share) * 0.5  # from the midline, in mouth widths
        tooth = np.digitize(aside, _TOOTH_EDGES)  # 0 is the central incisor
        edges = np.array((0.0, *_TOOTH_EDGES, 0.6), np.float32)
        to_gap = np.minimum(aside - edges[tooth], edges[tooth + 1] - aside)  # in mouth widths, 0 between two teeth
        height = _TOOTH_HEIGHT * np.array(_TOOTH_LENGTHS, np.float32)[tooth]
        height = height * (1.0 - _TOOTH_ROUND * np.exp(-to_gap / _TOOTH_ROUND_WIDTH))
        height = height * (1.0 + 0.04 * np.sign(grid.across_share) * (tooth % 2))  # no mouth is symmetric
        opacity = 1.0 / (1.0 + np.exp(((grid.below_upper - height) / 0.008).clip(-30, 30)))
        opacity = opacity * ((0.84 - np.abs(grid.across_share)) / 0.22).clip(0.0, 1.0)
        shade = 1.0 - 0.55 * grid.across_share**2  # the row of teeth curves away
        shade = shade * (0.62 + 0.38 * (grid.below_upper / _LIP_SHADOW).clip(0.0, 1.0))
        shade = shade * (0.90 + 0.10 * (to_gap / 0.04).clip(0.0, 1.0))  # each tooth is round
        shade = shade * (1.0 - _GAP_DEPTH * np.exp(-((to_gap / _GAP_WIDTH) ** 2)))
        return (shade[..., None] * self._enamel).astype(np.float32), (0.97 * opacity).astype(np.float32)


def paint_inside(
    grid: InsideGrid, shape: MouthShape, teeth: BorrowedTeeth | DrawnTeeth, lip: NDArray[np.float32], brightness: float
) -> NDArray[np.float32]:
    """(h, w, 3) RGB of the inside of the mouth.

    Args:
        grid: the position of each pixel in the mouth.
        shape: the wanted mouth.
        teeth: the clip's teeth.
        lip: (3,) RGB of the lips.
        brightness: mean value of the cheeks in this frame.
    """
    tongue = _tongue(grid, shape.tongue)[..., None]
    inside = lip * _CAVITY * (1.0 - tongue) + lip * _TONGUE * tongue
    colours, opacity = teeth.paint(grid, shape, brightness)
    inside = inside + (colours - inside) * opacity[..., None]
    light = _light(grid)[..., None]
    # The shadow inside a mouth is red: red falls with the power 0.75 only.
    redder = np.concatenate([np.sqrt(light * np.sqrt(light)), light, light], 2)
    lit = inside * redder
    shaded: NDArray[np.float32] = lit + lip * _SEAM * _GLOW * (1.0 - light)
    return shaded


def _light(grid: InsideGrid) -> NDArray[np.float32]:
    """(h, w) 0..1: both lips cast a shadow on the inside, and a narrow gap is a dark line instead of grey teeth."""
    openness = float(np.clip((grid.gap - 0.01) / 0.11, 0.0, 1.0))
    from_upper = 0.40 + 0.60 * (grid.below_upper / 0.035).clip(0.0, 1.0)
    from_lower = 0.55 + 0.45 * (grid.above_lower / 0.035).clip(0.0, 1.0)
    from_corner = 1.0 - 0.6 * np.square(np.square(grid.across_share.clip(-1.0, 1.0)))
    light: NDArray[np.float32] = from_upper * from_lower * from_corner * (0.2 + 0.8 * openness)
    return light


def _tongue(grid: InsideGrid, tip: float) -> NDArray[np.float32]:
    """(h, w) opacity of the tongue.

    At rest it lies behind the lower lip and shows once the mouth is well open; its `tip` (0..1) rises to the teeth.
    """
    visible = float(np.clip(grid.gap / 0.2 - 0.3, 0.0, 1.0)) * 0.75
    resting = _hill(grid.across_share / 0.62, (grid.above_lower - 0.02) / 0.13) * visible
    raised_to = 0.75 * grid.gap  # above the lower lip
    raised = _hill(grid.across_share / 0.5, grid.above_lower / max(raised_to, 0.02)) * tip * 0.85
    opacity: NDArray[np.float32] = np.maximum(resting, raised)
    return opacity


def _hill(across: NDArray[np.float32], up: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 at the middle of the unit circle, round at its rim, 0 outside."""
    height: NDArray[np.float32] = (1.0 - (across**2 + up**2)).clip(0.0, 1.0)
    return height


def _shrunk(mask: NDArray[np.uint8], by_px: int) -> NDArray[np.float32]:
    """(256, 256) 0..1 the mask less a rim of `by_px`."""
    if by_px:
        mask = cv2.erode(mask, np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)).astype(np.uint8)
    return mask.astype(np.float32) / 255.0


def _edge_table(edge: NDArray[np.float64]) -> NDArray[np.float32]:
    """(256,) the y of a left-to-right lip edge at every canonical column."""
    return np.interp(np.arange(SIDE_PX), edge[:, 0], edge[:, 1]).astype(np.float32)


def _tooth_row_px(
    pixels: NDArray[np.float32],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
) -> float:
    """The height of the upper teeth below the upper lip in an open mouth, canonical pixels.

    The search goes down the middle of the mouth and stops where the brightness of the teeth has
    clearly dropped: at the dark behind them, or at the line to clenched lower teeth.
    """
    middle = len(upper) // 2
    columns = np.arange(int(upper[middle - 1, 0]), int(upper[middle + 1, 0]) + 1)
    lip = _edge_table(upper)[columns]
    gap_px = float(lower[middle, 1] - upper[middle, 1])
    depths = np.arange(0.0, gap_px, 0.5)
    lines = lip[None] + depths[:, None].astype(np.float32)  # (D, C)
    across = np.broadcast_to(columns.astype(np.float32), lines.shape)
    value = cv2.remap(pixels.mean(2), across.copy(), lines.astype(np.float32), cv2.INTER_LINEAR).mean(1)  # (D,)
    brightest = int(value.argmax())
    darker = np.flatnonzero(value[brightest:] < 0.72 * value[brightest])
    return float(depths[brightest + darker[0]]) if len(darker) else gap_px
