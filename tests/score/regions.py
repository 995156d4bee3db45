"""Painted places, drawn: skin with noise, an oval mask, and a mouth that is painted softly."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.planes import Box
from lipsync_core.render import EditedRegion

SIDE_PX = 120
_RANDOM = np.random.default_rng(3)
_GRAIN = cv2.GaussianBlur(_RANDOM.normal(0, 40, (2 * SIDE_PX, 2 * SIDE_PX, 1)).astype(np.float32), (0, 0), 2.0)


def skin(moved_px: int = 0, noise: float = 1.0, seed: int = 0) -> NDArray[np.uint8]:
    """(120, 120, 3) RGB: textured skin, moved to the left, with noise of its own."""
    texture = _GRAIN[:SIDE_PX, moved_px : moved_px + SIDE_PX, np.newaxis]
    grain = np.random.default_rng(seed).normal(0, noise, (SIDE_PX, SIDE_PX, 3))
    return np.rint(texture + grain + (190, 150, 130)).clip(0, 255).astype(np.uint8)


def oval() -> NDArray[np.float32]:
    """(120, 120) 0..1: a soft oval."""
    lines, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    away = np.hypot((columns - 60) / 45, (lines - 60) / 35)
    return ((1.0 - away) * 3).clip(0.0, 1.0).astype(np.float32)


def painted(before: NDArray[np.uint8], levels: float = 5.0) -> EditedRegion:
    """A place that was painted darker in its middle, joined by the soft mask."""
    mask = oval()
    after = np.rint(before - levels * mask[..., np.newaxis]).clip(0, 255).astype(np.uint8)
    return EditedRegion(Box(10, 10, 10 + SIDE_PX, 10 + SIDE_PX), before, after, mask)


def brighter(region: EditedRegion, levels: int, edge: float = 0.0) -> EditedRegion:
    """The same, brighter where the mask is above `edge`."""
    after = region.after.astype(np.int16) + levels * (region.mask > edge)[..., np.newaxis]
    return replace(region, after=after.clip(0, 255).astype(np.uint8))
