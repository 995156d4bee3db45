"""The positions of aligned faces, on points and pictures with known positions."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from lipsync_core.enhance.alignment import FACE_TEMPLATE, context_box, face_alignment, five_points, inverse, warp
from lipsync_core.face.landmarks import KEPT, rows
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.planes import Box

TEMPLATE = FACE_TEMPLATE.astype(np.float32)


def track_of(landmarks: np.ndarray) -> FaceTrack:
    count = len(landmarks)
    return FaceTrack(
        tracker="test/1",
        frame_pts=np.arange(count),
        time_base=Fraction(1, 25),
        last_duration=1,
        is_complete=True,
        boxes=np.zeros((count, 4), np.float32),
        scores=np.ones(count, np.float32),
        landmarks=landmarks.astype(np.float32),
        covered=np.zeros(count, bool),
    )


def test_five_points_of_a_mesh_are_eye_centres_nose_tip_and_mouth_corners() -> None:
    landmarks = np.zeros((2, len(KEPT), 3), np.float32)
    corners = {33: (10, 20), 133: (20, 22), 362: (40, 22), 263: (50, 20), 4: (30, 35), 61: (18, 50), 291: (42, 51)}
    for point, place in corners.items():
        landmarks[0, rows([point])[0], :2] = place
    landmarks[1] = np.nan  # a frame without a face
    points = five_points(track_of(landmarks))
    assert points.shape == (2, 5, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[0], [(15, 21), (45, 21), (30, 35), (18, 50), (42, 51)])
    assert np.isnan(points[1]).all()


def test_five_points_of_a_detector_stay_as_they_are() -> None:
    landmarks = np.random.default_rng(0).random((3, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(five_points(track_of(landmarks)), landmarks[:, :, :2])


def test_a_face_at_the_template_stays_there() -> None:
    np.testing.assert_allclose(face_alignment(TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    assert context_box(TEMPLATE) in (Box(0, 0, 512, 512), Box(-1, -1, 513, 513), Box(-1, 0, 513, 512))


@pytest.mark.parametrize(("turn_deg", "scale", "shift"), [(0, 0.3, (7, -9)), (-37, 1.7, (300, 40)), (180, 1, (0, 0))])
def test_alignment_undoes_every_turn_scale_and_shift(turn_deg: int, scale: float, shift: tuple[int, int]) -> None:
    moved = cv2.getRotationMatrix2D((256.0, 256.0), turn_deg, scale)
    moved[:, 2] += shift
    points = (FACE_TEMPLATE @ moved[:, :2].T + moved[:, 2]).astype(np.float32)
    np.testing.assert_allclose(face_alignment(points), inverse(moved), atol=1e-3)


def test_one_bad_point_moves_the_face_no_more_than_its_share() -> None:
    points = TEMPLATE.copy()
    points[2] += (5.0, 0.0)  # the nose turns aside
    moved = TEMPLATE @ face_alignment(points)[:, :2].T + face_alignment(points)[:, 2]
    assert np.abs(moved - TEMPLATE).max() < 1.5


def test_the_context_of_a_turned_face_holds_its_whole_square() -> None:
    moved = cv2.getRotationMatrix2D((0.0, 0.0), 45.0, 1.0)
    box = context_box((FACE_TEMPLATE @ moved[:, :2].T + moved[:, 2]).astype(np.float32))
    assert abs(box.width - 511 * 2**0.5) < 3
    assert abs(box.height - 511 * 2**0.5) < 3


@pytest.mark.parametrize("scale", [0.13, 0.3, 0.5, 0.8, 1.9])
def test_warping_keeps_every_place(scale: float) -> None:
    """In a picture whose values are its coordinates, each pixel tells its source."""
    y, x = np.mgrid[:400, :400].astype(np.float32)
    turned = cv2.getRotationMatrix2D((200.0, 200.0), 20.0, scale)
    size = 60
    turned[:, 2] += size / 2 - 200.0
    back = inverse(turned)
    wanted_y, wanted_x = np.mgrid[:size, :size]
    from_x = back[0, 0] * wanted_x + back[0, 1] * wanted_y + back[0, 2]
    from_y = back[1, 0] * wanted_x + back[1, 1] * wanted_y + back[1, 2]
    inside = (np.minimum(from_x, from_y) > 8) & (np.maximum(from_x, from_y) < 391)
    assert inside.mean() > 0.3
    for picture, expected in ((x, from_x), (y, from_y)):
        warped = warp(picture, turned, (size, size), cv2.BORDER_REPLICATE)
        assert np.abs(warped - expected)[inside].max() < 0.1


def test_shrinking_averages_fine_detail_away() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))
    small = warp(stripes, np.array([[0.2, 0.0, 0.0], [0.0, 0.2, 0.0]]), (80, 80), cv2.BORDER_REPLICATE)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() < 30
