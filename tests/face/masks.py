"""Draws masks and beards over faces, shaded as the face is, for tests of covered mouths."""

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.mesh import FaceCrop, MeshFitter, crop_of_mesh
from lipsync_core.face.track import FaceTrack
from tests.face.conftest import Picture, as_frames

#: Of masks, RGB. None of them is the colour of skin.
COLOURS = {
    "surgical": (150, 190, 222),
    "white": (232, 234, 236),
    "black": (34, 34, 38),
    "green": (125, 185, 160),
    "grey": (128, 130, 134),
    "red": (170, 30, 40),
}
# Mesh points, from ear to ear along the jaw, and back over the cheeks.
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_MASK = (*_JAW, 345, 346, 347, 348, 195, 119, 118, 117, 116)
_BEARD = (*_JAW[2:-2], 435, 436, 426, 327, 98, 206, 216, 215)
_OUTER_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
_HAIR = (52, 40, 34)
_PLEATS = (-0.08, 0.03, 0.14)  # below the middle of the mask, in widths of the face


def full_mesh(picture: Picture, track: FaceTrack, index: int, fitter: MeshFitter) -> NDArray[np.float32]:
    """(468, 3) all mesh points of a tracked frame; a track keeps only some."""
    x0, y0, x1, y1 = track.boxes[index]
    (frame,) = as_frames([picture])
    around = FaceCrop(np.array([(x0 + x1) / 2, (y0 + y1) / 2], np.float32), 1.5 * float(max(x1 - x0, y1 - y0)), 0.0)
    return fitter.fit(frame.picture, crop_of_mesh(fitter.fit(frame.picture, around))).points


def masked(picture: Picture, points: NDArray[np.float32], colour: tuple[int, int, int]) -> Picture:
    """The picture with a pleated mask from the bridge of the nose to below the chin, lit as the face is."""
    width_px = float(np.linalg.norm(points[454, :2] - points[234, :2]))
    coverage = _filled(picture, points[list(_MASK), :2], width_px)
    light = cv2.GaussianBlur(picture.astype(np.float32).mean(axis=2), (0, 0), 0.12 * width_px)
    light = 0.5 + 0.5 * (light / np.median(light[coverage > 0.5])).clip(0.5, 1.5)
    cloth = np.array(colour, np.float32) * (light * _folds(picture, points, width_px))[..., None]
    return _over(picture, cloth, coverage)


def bearded(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """The picture with a full dark beard and moustache around bare lips."""
    width_px = float(np.linalg.norm(points[454, :2] - points[234, :2]))
    coverage = _filled(picture, points[list(_BEARD), :2], width_px) * 0.85
    coverage *= 1.0 - _filled(picture, points[list(_OUTER_LIPS), :2], width_px)
    hair = np.random.default_rng(4).normal(1.0, 0.25, picture.shape[:2])
    return _over(picture, np.array(_HAIR, np.float32) * hair[..., None], coverage)


def _filled(picture: Picture, outline: NDArray[np.float32], width_px: float) -> NDArray[np.float32]:
    """(h, w) 0..1 inside an outline, soft at its edge."""
    drawn = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(drawn, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), max(0.6, 0.006 * width_px))


def _folds(picture: Picture, points: NDArray[np.float32], width_px: float) -> NDArray[np.float32]:
    """(h, w) brightness of the cloth: darker towards the ears and the chin, and in the pleats."""
    middle = points[[13, 152, 1], :2].mean(axis=0)
    right = (points[454, :2] - points[234, :2]) / width_px
    lines, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across = ((columns - middle[0]) * right[0] + (lines - middle[1]) * right[1]) / width_px
    down = ((lines - middle[1]) * right[0] - (columns - middle[0]) * right[1]) / width_px
    shade = 1 - 0.55 * (2 * np.abs(across)).clip(0, 1) ** 3 - 0.25 * down.clip(0, 0.6)
    for pleat in _PLEATS:
        shade = shade * (1 - 0.16 * np.exp(-(((down - pleat) / 0.008) ** 2)))
    return shade.astype(np.float32)


def _over(picture: Picture, paint: NDArray[np.floating], coverage: NDArray[np.float32]) -> Picture:
    share = coverage[..., None]
    return np.clip(picture * (1 - share) + paint * share, 0, 255).astype(np.uint8)
