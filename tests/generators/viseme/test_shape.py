"""From curves to control points."""

import numpy as np
import pytest

from lipsync_core.face.landmarks import (
    KEPT,
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    UPPER_INNER_LIP,
    UPPER_OUTER_LIP,
    rows,
)
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.geometry import ClipGeometry, FramePose
from lipsync_core.generators.viseme.shape import MAX_GAP, MouthShape, mouth_shape
from lipsync_core.generators.viseme.warp import RING
from tests.generators.faces import placed, plain_face, track_of

WIDTH_PX = 70.0  # 50 of 100 between the eyes, in a crop with 140


def edit(**curves: float) -> np.ndarray:
    row = np.zeros(len(Curve), np.float32)
    for name, value in curves.items():
        row[Curve[name.upper()]] = value
    return row


def pose_with(gap_px: float) -> FramePose:
    pose = ClipGeometry(track_of([placed(plain_face(gap_px), 300, 200)])).pose(0)
    assert pose is not None
    return pose


def shape_of(gap_px: float, closed_gap: float = 0.0, **curves: float) -> MouthShape:
    return mouth_shape(pose_with(gap_px), WIDTH_PX, closed_gap, edit(**curves), RING)


def middle_gap(shape: MouthShape) -> float:
    """In mouth widths."""
    return float(shape.lower_edge[5, 1] - shape.upper_edge[5, 1]) / WIDTH_PX


@pytest.mark.parametrize("own_gap_px", [0.0, 4.0, 12.0])
@pytest.mark.parametrize("jaw", [0.0, 0.3, 1.0])
def test_the_opening_follows_the_jaw_whatever_the_source_does(own_gap_px: float, jaw: float) -> None:
    assert middle_gap(shape_of(own_gap_px, jaw=jaw)) == pytest.approx(MAX_GAP * jaw, abs=0.01)


def test_a_closure_presses_lips_together_that_rest_a_little_apart() -> None:
    resting, pressed = shape_of(1.0, closed_gap=0.04), shape_of(1.0, closed_gap=0.04, closure=1.0)
    assert middle_gap(resting) == pytest.approx(0.04, abs=0.005)
    assert middle_gap(pressed) == pytest.approx(0.012, abs=0.005)


def test_rounding_narrows_and_spreading_widens() -> None:
    widths = [np.ptp(shape_of(0.0, width=width).upper_edge[:, 0]) for width in (-1.0, 0.0, 1.0)]
    assert widths[0] < 0.9 * widths[1]
    assert widths[2] > 1.02 * widths[1]


def test_the_chin_follows_the_jaw_and_the_nose_does_not() -> None:
    shape = shape_of(0.0, jaw=1.0)
    moved = np.linalg.norm(shape.lower.goals - shape.lower.origins, axis=1)
    chin = pose_with(0.0).points[rows((152,))[0]]
    at_chin = np.linalg.norm(shape.lower.origins - chin, axis=1).argmin()
    assert moved[at_chin] > 5
    ring = moved[-len(RING) :]
    assert ring.max() == 0.0


def test_a_tuck_bares_the_upper_teeth_with_the_lower_lip_up() -> None:
    plain, tucked = shape_of(0.0), shape_of(0.0, tuck=1.0)
    assert tucked.upper_edge[5, 1] < plain.upper_edge[5, 1] - 2
    assert tucked.lower_edge[5, 1] == pytest.approx(plain.lower_edge[5, 1])
    assert tucked.gap > 0.03


def test_an_open_source_that_is_closed_gets_a_seam_over_its_teeth_and_a_closed_one_does_not() -> None:
    assert shape_of(15.0).cover.max() > 0.5
    assert shape_of(0.0).cover.max() == 0.0


def test_a_smile_relaxes_when_speaking() -> None:
    smiling = plain_face(6.0)
    corners = rows((61, 291, 78, 308))
    smiling[corners, 1] -= 14.0
    lips = rows((*UPPER_INNER_LIP, *LOWER_INNER_LIP, *UPPER_OUTER_LIP, *LOWER_OUTER_LIP))
    smiling[np.unique(lips), 0] *= 1.35
    pose = ClipGeometry(track_of([placed(smiling, 300, 200)])).pose(0)
    assert pose is not None
    shape = mouth_shape(pose, pose.mouth_width_px, 0.0, edit(jaw=0.2), RING)
    source_corner = pose.points[rows((78,))[0]]
    assert shape.upper_edge[0, 1] > source_corner[1] + 2  # lower than in the smile
    assert shape.upper_edge[0, 0] > source_corner[0] + 2  # and closer to the middle


def test_lip_edges_never_run_backwards_on_a_face_that_folds() -> None:
    folded = plain_face(4.0)
    folded[rows((415, 308, 310)), 0] -= 25.0
    pose = ClipGeometry(track_of([placed(folded, 300, 200)])).pose(0)
    assert pose is not None
    shape = mouth_shape(pose, WIDTH_PX, 0.0, edit(jaw=0.5), RING)
    assert (np.diff(shape.upper_edge[:, 0]) >= 0).all()
    assert len(KEPT) == len(pose.points)
