"""Faces and patches to blend, and the public implementation to compare with."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from lipsync_core.generators.contract import Painted

Mask = NDArray[np.float32]
_BORDER_PX = 16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scene:
    """A region of a picture and the pixels painted for it."""

    region: NDArray[np.uint8]  # (h, w, 3) RGB
    pixels: NDArray[np.uint8]  # (h, w, 3) RGB


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A face of 160x160, and the same face as from a 96 px patch: blurred, moved and off in colour."""
    face = data.astronaut()[20:180, 145:305]
    small = cv2.resize(np.roll(face, 2, axis=1), (96, 96), interpolation=cv2.INTER_AREA)
    tinted = cv2.resize(small, (160, 160)).astype(np.float32) * (0.85, 1.05, 1.1) + 10
    return Scene(np.ascontiguousarray(face), np.clip(np.rint(tinted), 0, 255).astype(np.uint8))


def rectangle(top: int, left: int, bottom: int, right: int, side: int = 160) -> Mask:
    """A hard mask."""
    mask = np.zeros((side, side), np.float32)
    mask[top:bottom, left:right] = 1.0
    return mask


def ellipse(centre: tuple[int, int], radii: tuple[int, int], blur_px: float = 0.0) -> Mask:
    """A hard mask, or a soft one that ends where an 8-bit mask would."""
    mask = cv2.ellipse(np.zeros((160, 160), np.float32), centre, radii, 0, 0, 360, 1.0, -1)
    if blur_px:
        mask = cv2.GaussianBlur(mask, (0, 0), blur_px)
        mask[mask < 1 / 255] = 0.0
    return mask


#: Masks of every kind, by name.
MASKS: dict[str, Mask] = {
    "rectangle": rectangle(50, 30, 140, 130),
    "odd sides": rectangle(51, 30, 140, 131),
    "ellipse": ellipse((80, 85), (60, 48)),
    "soft ellipse": ellipse((80, 85), (52, 42), blur_px=6.0),
    "one corner": rectangle(90, 90, 160, 160),
    "ellipse past two edges": ellipse((80, 130), (100, 60)),
    "everything": np.ones((160, 160), np.float32),
    "two islands": np.maximum(rectangle(20, 20, 60, 70), rectangle(90, 70, 150, 140)),
}

SeamlessClone = Callable[[Scene, Mask], NDArray[np.uint8]]


@pytest.fixture
def seamless_clone() -> SeamlessClone:
    """OpenCV's own blending, with a border around the region: it needs one if a mask touches the edge."""
    return _seamless_clone


def _seamless_clone(scene: Scene, mask: Mask) -> NDArray[np.uint8]:
    levels = np.rint(mask * 255).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(levels[1:-1, 1:-1])  # it ignores the outermost pixels
    centre = (left + 1 + width // 2 + _BORDER_PX, top + 1 + height // 2 + _BORDER_PX)
    framed = cv2.copyMakeBorder(scene.region, *(_BORDER_PX,) * 4, cv2.BORDER_REPLICATE)
    blended = cv2.seamlessClone(scene.pixels, framed, levels, centre, cv2.NORMAL_CLONE)
    return blended[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]


def painted(scene: Scene, mask: Mask) -> Painted:
    """The scene's pixels under a mask."""
    return Painted(scene.pixels, mask)
