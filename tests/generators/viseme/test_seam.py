"""The line between lips is found in the picture, and so is an opening."""

import cv2
import numpy as np
import pytest

from lipsync_core.face.landmarks import (
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    UPPER_INNER_LIP,
    UPPER_OUTER_LIP,
    rows,
)
from lipsync_core.generators.viseme.seam import find_seam
from tests.generators.faces import placed, plain_face

SKIN, LIP, DARK, TOOTH = (205, 160, 140), (175, 85, 90), (50, 20, 20), (220, 214, 200)


def face(seen_gap_px: float) -> np.ndarray:
    """(K, 2) points of a face in the middle of a picture; the mesh sees its lips `seen_gap_px` apart."""
    return placed(plain_face(seen_gap_px), 128, 40)[:, :2].astype(np.float64)


def picture(points: np.ndarray, line_y: float, thickness_px: int, between: tuple[int, int, int]) -> np.ndarray:
    """(256, 256, 3) RGB: lips with a straight line of a colour between them."""
    pixels = np.full((256, 256, 3), SKIN, np.uint8)
    outline = np.concatenate([points[rows(UPPER_OUTER_LIP)], points[rows(LOWER_OUTER_LIP)][::-1]])
    cv2.fillPoly(pixels, [np.rint(outline).astype(np.int32)], LIP)
    left, right = points[rows(UPPER_INNER_LIP)[[0, -1]], 0]
    top = round(line_y - thickness_px / 2)
    pixels[top : top + thickness_px, round(left) : round(right) + 1] = between
    return pixels


@pytest.mark.parametrize("seen_gap_px", [0.0, 4.0])
@pytest.mark.parametrize("off_px", [-2.0, 2.0])
def test_the_line_between_closed_lips_is_found_where_the_mesh_does_not_see_it(
    seen_gap_px: float, off_px: float
) -> None:
    points = face(seen_gap_px)
    line_y = float(points[rows((UPPER_INNER_LIP[5], LOWER_INNER_LIP[5])), 1].mean()) + off_px
    seam = find_seam(picture(points, line_y, 2, DARK), points)
    assert seam.is_closed
    assert seam.opening == 0.0
    assert float(seam.line[20, 1]) == pytest.approx(line_y, abs=1.0)


@pytest.mark.parametrize("between", [DARK, TOOTH])
def test_lips_with_dark_or_teeth_between_them_are_open_though_the_mesh_sees_them_closed(
    between: tuple[int, int, int],
) -> None:
    points = face(0.0)
    middle_y = float(points[rows((UPPER_INNER_LIP[5], LOWER_OUTER_LIP[5])), 1].mean())
    seam = find_seam(picture(points, middle_y - 4, 7, between), points)
    assert not seam.is_closed
    assert seam.opening > 0.03
