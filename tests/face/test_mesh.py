import numpy as np
import pytest
from skimage import data

from lipsync_core.face.landmarks import MOUTH_CORNERS, OUTER_EYE_CORNERS
from lipsync_core.face.mesh import MESH_POINTS, FaceCrop, FaceMesh, MeshFitter, crop_of_mesh
from lipsync_core.models.store import ModelStore
from tests.face.conftest import as_frames

ASTRONAUT = FaceCrop(np.array([224, 115], np.float32), 200.0, 0.0)


@pytest.fixture(scope="module")
def fitter(model_store: ModelStore) -> MeshFitter:
    return MeshFitter(model_store.verify("mediapipe-face").path("face_landmark"))


@pytest.fixture(scope="module")
def portrait_mesh(fitter: MeshFitter) -> FaceMesh:
    (frame,) = as_frames([data.astronaut()])
    return fitter.fit(frame.picture, ASTRONAUT)


def test_the_mesh_lies_on_the_face(portrait_mesh: FaceMesh) -> None:
    assert portrait_mesh.presence > 0.99
    assert portrait_mesh.points.shape == (MESH_POINTS, 3)
    left, right = portrait_mesh.points[list(MOUTH_CORNERS), :2]
    assert left == pytest.approx((203, 143), abs=6)  # by eye
    assert right == pytest.approx((250, 143), abs=6)


def test_a_turned_picture_gives_the_turned_mesh(fitter: MeshFitter, portrait_mesh: FaceMesh) -> None:
    quarter = np.ascontiguousarray(np.rot90(data.astronaut(), -1))  # clockwise: (x, y) becomes (511 - y, x)
    (frame,) = as_frames([quarter])
    turned = fitter.fit(frame.picture, FaceCrop(np.array([511 - 115, 224], np.float32), 200.0, np.pi / 2))
    expected = np.stack([511 - portrait_mesh.points[:, 1], portrait_mesh.points[:, 0]], axis=1)
    assert np.abs(turned.points[:, :2] - expected).max() < 1.5
    assert np.abs(turned.points[:, 2] - portrait_mesh.points[:, 2]).max() < 3


def test_the_next_crop_is_level_with_the_eyes_and_around_the_face(portrait_mesh: FaceMesh) -> None:
    crop = crop_of_mesh(portrait_mesh)
    left, right = portrait_mesh.points[list(OUTER_EYE_CORNERS), :2]
    assert crop.roll_rad == pytest.approx(np.arctan2(right[1] - left[1], right[0] - left[0]))
    to_picture = crop.to_picture(192)
    in_crop = (portrait_mesh.points[:, :2] - to_picture[:, 2]) @ np.linalg.inv(to_picture[:, :2]).T
    assert in_crop.min() > 0.12 * 192
    assert in_crop.max() < 0.88 * 192
    np.testing.assert_allclose((in_crop.min(axis=0) + in_crop.max(axis=0)) / 2, 96, atol=0.1)


@pytest.mark.parametrize("centre", [(224, 470), (5000, 5000), (-300, 100)], ids=["no face", "beyond", "before"])
def test_presence_is_low_when_there_is_no_face(centre: tuple[int, int], fitter: MeshFitter) -> None:
    (frame,) = as_frames([data.astronaut()])
    assert fitter.fit(frame.picture, FaceCrop(np.array(centre, np.float32), 120.0, 0.0)).presence < 0.5


def test_a_face_half_out_of_the_picture_is_still_fitted(fitter: MeshFitter, portrait_mesh: FaceMesh) -> None:
    (frame,) = as_frames([np.ascontiguousarray(data.astronaut()[:, 200:])])
    crop = FaceCrop(ASTRONAUT.centre - np.array([200, 0], np.float32), 200.0, 0.0)
    assert np.isfinite(fitter.fit(frame.picture, crop).points).all()
