import cv2
import numpy as np
import pytest
from skimage import data

from lipsync_core.face.detect import FaceDetector, overlap
from lipsync_core.models.store import ModelStore
from tests.face.conftest import Picture

ASTRONAUT = np.array([170, 60, 278, 178])  # her face, brow to chin, by eye


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> FaceDetector:
    return FaceDetector(model_store.verify("mediapipe-face").path("full_range"))


def test_one_face_is_found_once_and_where_it_is(detector: FaceDetector) -> None:
    (face,) = detector.detect(data.astronaut())
    assert overlap(ASTRONAUT, face.box[np.newaxis])[0] > 0.6
    assert face.score > 0.8
    left, right = face.eyes
    assert left[0] < face.centre[0] < right[0]
    assert abs(left[1] - right[1]) < 15
    assert (face.eyes[:, 1] < face.centre[1]).all()


@pytest.mark.parametrize("shape", [(512, 300), (250, 512), (511, 333)])
def test_the_place_does_not_depend_on_the_shape_of_the_picture(shape: tuple[int, int], detector: FaceDetector) -> None:
    (face,) = detector.detect(np.ascontiguousarray(data.astronaut()[: shape[0], : shape[1]]))
    assert overlap(ASTRONAUT, face.box[np.newaxis])[0] > 0.6


def test_two_faces_are_two(detector: FaceDetector, couple: list[Picture]) -> None:
    assert len(detector.detect(couple[0])) == 2


def test_a_far_face_is_found_in_a_tile_and_once(detector: FaceDetector) -> None:
    picture = np.full((432, 768, 3), 90, np.uint8)
    picture[200:328, 400:528] = cv2.resize(data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    (face,) = detector.detect_thoroughly(picture)
    assert overlap(ASTRONAUT / 4 + (400, 200, 400, 200), face.box[np.newaxis])[0] > 0.5


def test_a_face_that_fills_the_picture_is_found(detector: FaceDetector) -> None:
    close_up = np.ascontiguousarray(data.astronaut()[72:178, 171:277])
    assert detector.detect(close_up) == []
    (face,) = detector.detect_thoroughly(close_up)
    assert overlap(ASTRONAUT - (171, 72, 171, 72), face.box[np.newaxis])[0] > 0.6


@pytest.mark.parametrize("picture", [data.coffee(), np.zeros((40, 900, 3), np.uint8)])
def test_nothing_is_found_where_there_is_no_face(picture: Picture, detector: FaceDetector) -> None:
    assert detector.detect(picture) == []
    assert detector.detect_thoroughly(picture) == []


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]], np.float32)
    assert overlap(boxes[0], boxes).tolist() == pytest.approx([1, 1 / 3, 0, 0])
