"""The warp: without motion of the curves it changes nothing, and it parts the face at the mouth line."""

import numpy as np
import pytest

from lipsync_core.generators.viseme.canonical import MOVING_PART, SIDE_PX
from lipsync_core.generators.viseme.geometry import ClipGeometry
from lipsync_core.generators.viseme.shape import MouthShape, mouth_shape
from lipsync_core.generators.viseme.warp import RING, mouth_warp
from tests.generators.faces import placed, plain_face, track_of
from tests.generators.viseme.test_shape import edit, resting

UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SIZE = (SIDE_PX, SIDE_PX)


def shape_of(**curves: float) -> MouthShape:
    pose = ClipGeometry(track_of([placed(plain_face(), 300, 200)])).pose(0)
    assert pose is not None
    return mouth_shape(pose, 70.0, resting(), edit(**curves), RING)


def test_what_is_outside_the_moving_part_stays() -> None:
    warp = mouth_warp(shape_of(jaw=1.0, width=-1.0), UPRIGHT, SIZE)
    left, top, right, bottom = (int(edge) for edge in MOVING_PART)
    outside = np.ones(SIZE, bool)
    outside[top - 8 : bottom + 8, left - 8 : right + 8] = False
    assert warp.strength[outside].max() == 0.0
    assert warp.strength.max() == 1.0


def test_the_lips_part_at_the_mouth_line() -> None:
    shape = shape_of(jaw=1.0)
    warp = mouth_warp(shape, UPRIGHT, SIZE)
    x = round(float(shape.upper_edge[5, 0]))
    above, below = round(float(shape.upper_edge[5, 1])) - 2, round(float(shape.lower_edge[5, 1])) + 2
    assert warp.shift_y[above, x] > 3  # the upper lip comes from further down
    assert warp.shift_y[below, x] < -10  # the lower lip and jaw from further up


def test_a_warp_fetches_pixels_from_where_it_says() -> None:
    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(SIDE_PX), np.arange(SIDE_PX)[:, None]
    warp = mouth_warp(shape_of(jaw=0.8), UPRIGHT, SIZE)
    fetched = warp.apply(picture)
    lines = np.arange(SIDE_PX)[:, None] + warp.shift_y
    assert np.abs(fetched[5:-5, 5:-5, 1] - lines[5:-5, 5:-5]).max() < 1.5


@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_the_same_warp_at_another_size_moves_in_proportion(scale: float) -> None:
    small = mouth_warp(shape_of(jaw=0.8), UPRIGHT, SIZE)
    to_canonical = np.array([[1 / scale, 0.0, 0.0], [0.0, 1 / scale, 0.0]])
    other = mouth_warp(shape_of(jaw=0.8), to_canonical, (round(SIDE_PX * scale), round(SIDE_PX * scale)))
    at = round(200 * scale), round(128 * scale)
    assert other.shift_y[at] == pytest.approx(small.shift_y[200, 128] * scale, rel=0.1)
