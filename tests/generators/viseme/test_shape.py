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
from lipsync_core.generators.viseme.contours import MAX_GAP, RestingLips
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.geometry import ClipGeometry, FramePose
from lipsync_core.generators.viseme.seam import Seam
from lipsync_core.generators.viseme.shape import MouthShape, mouth_shape
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


def resting(gap: float = 0.0) -> RestingLips:
    """Closed lips that the mesh sees `gap` mouth widths apart, 10 and 12 px high in their middle."""
    arch = np.sqrt(1.0 - np.linspace(-1, 1, 11) ** 2)
    return RestingLips(gap, np.zeros(11), 10 * arch, 12 * arch)


def shape_of(gap_px: float, closed_gap: float = 0.0, seam: Seam | None = None, **curves: float) -> MouthShape:
    return mouth_shape(pose_with(gap_px), WIDTH_PX, resting(closed_gap), edit(**curves), RING, seam)


def middle_gap(shape: MouthShape) -> float:
    """In mouth widths."""
    return float(shape.lower_edge[5, 1] - shape.upper_edge[5, 1]) / WIDTH_PX


@pytest.mark.parametrize("own_gap_px", [0.0, 4.0, 12.0])
@pytest.mark.parametrize("jaw", [0.0, 0.3, 1.0])
def test_the_opening_follows_the_jaw_whatever_the_source_does(own_gap_px: float, jaw: float) -> None:
    assert middle_gap(shape_of(own_gap_px, jaw=jaw)) == pytest.approx(MAX_GAP * jaw, abs=0.01)


def upper_lip(shape: MouthShape) -> float:
    """Height in the middle, canonical pixels."""
    return float(shape.contours[1, 5, 1] - shape.contours[0, 5, 1])


def test_lips_that_the_mesh_sees_apart_though_closed_stay_closed() -> None:
    shape = shape_of(2.0, closed_gap=0.04)  # 2.8 of 70 px
    assert middle_gap(shape) == pytest.approx(0.0, abs=0.005)
    assert shape.repaint == 0.0
    assert np.abs(shape.lower.goals - shape.lower.origins).max() < 1.5


def test_lips_whose_line_the_picture_shows_are_closed_and_part_at_that_line() -> None:
    across = np.linspace(93.0, 163.0, 41)
    line = float(pose_with(5.0).points[rows((13, 14)), 1].mean()) + 2.0
    seam = Seam(np.column_stack([across, np.full(41, line)]), dark=0.02, teeth=0.0)
    shape = shape_of(5.0, seam=seam)
    assert shape.repaint == 0.0
    assert shape.upper_edge[5, 1] == pytest.approx(line, abs=0.5)
    unseen = shape_of(5.0)
    assert unseen.repaint > 0.5


@pytest.mark.parametrize("own_gap_px", [6.0, 12.0, 20.0])
def test_an_open_mouth_closes_with_an_upper_lip_of_the_height_of_closed_lips(own_gap_px: float) -> None:
    shape = shape_of(own_gap_px)
    assert shape.repaint == 1.0
    assert upper_lip(shape) == pytest.approx(10.0, rel=0.1)
    assert upper_lip(shape_of(own_gap_px, closure=1.0)) > 6.0  # pressed, and still there


def test_an_opening_mouth_keeps_the_frames_own_lips() -> None:
    assert shape_of(0.0, jaw=0.8).repaint == 0.0


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


def test_a_smile_relaxes_when_speaking() -> None:
    smiling = plain_face(6.0)
    corners = rows((61, 291, 78, 308))
    smiling[corners, 1] -= 14.0
    lips = rows((*UPPER_INNER_LIP, *LOWER_INNER_LIP, *UPPER_OUTER_LIP, *LOWER_OUTER_LIP))
    smiling[np.unique(lips), 0] *= 1.35
    pose = ClipGeometry(track_of([placed(smiling, 300, 200)])).pose(0)
    assert pose is not None
    shape = mouth_shape(pose, pose.mouth_width_px, resting(), edit(jaw=0.2), RING)
    source_corner = pose.points[rows((61,))[0]]
    assert shape.contours[0, 0, 1] > source_corner[1] + 2  # lower than in the smile
    assert shape.contours[0, 0, 0] > source_corner[0] + 2  # and closer to the middle


def test_lip_edges_never_run_backwards_on_a_face_that_folds() -> None:
    folded = plain_face(4.0)
    folded[rows((415, 308, 310)), 0] -= 25.0
    pose = ClipGeometry(track_of([placed(folded, 300, 200)])).pose(0)
    assert pose is not None
    shape = mouth_shape(pose, WIDTH_PX, resting(), edit(jaw=0.5), RING)
    assert (np.diff(shape.upper_edge[:, 0]) >= 0).all()
    assert len(KEPT) == len(pose.points)
