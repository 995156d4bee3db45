"""The SCRFD detector beside InsightFace's own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.face.scrfd_detect import FivePointFace, ScrfdDetector
from tests.echo_network import write_echo
from tests.face.insightface_detect import FRAMES, INPUTS_PX, Detected, insightface_detects, picture_of, recorded
from tests.shared_files import SCRFD, shared_file

needs_insightface = pytest.mark.skipif(
    importlib.util.find_spec("insightface") is None, reason="insightface is not installed; its record is compared"
)


@pytest.fixture(scope="module")
def detector() -> ScrfdDetector:
    return ScrfdDetector(shared_file(SCRFD))


def assert_equal(faces: list[FivePointFace], detected: Detected, atol: float) -> None:
    boxes, points = detected
    assert len(faces) == len(boxes)
    for face, row, five in zip(faces, boxes, points, strict=True):
        np.testing.assert_allclose([*face.box, face.score], row, rtol=0, atol=atol)
        np.testing.assert_allclose(face.points, five, rtol=0, atol=atol)


@pytest.mark.usefixtures("clips")
@pytest.mark.parametrize(("clip", "frame"), FRAMES)
def test_boxes_and_points_are_those_that_insightface_found(detector: ScrfdDetector, clip: str, frame: int) -> None:
    picture = picture_of(clip, frame)
    for input_px in INPUTS_PX:
        # 0.01 px leaves room for another processor's float rounding; the record has four decimals.
        assert_equal(detector.detect(picture, input_px), recorded()[clip, frame, input_px], atol=0.01)


@needs_insightface
@pytest.mark.usefixtures("clips")
@pytest.mark.parametrize(("clip", "frame"), FRAMES)
def test_boxes_and_points_are_those_that_insightface_finds(detector: ScrfdDetector, clip: str, frame: int) -> None:
    picture = picture_of(clip, frame)
    for input_px in INPUTS_PX:
        assert_equal(detector.detect(picture, input_px), insightface_detects(picture, input_px), atol=1e-3)


def test_the_record_has_what_the_comparison_needs() -> None:
    found = {key: len(boxes) for key, (boxes, _) in recorded().items()}
    assert set(found) == {(clip, frame, input_px) for clip, frame in FRAMES for input_px in INPUTS_PX}
    assert max(found.values()) >= 5  # a group
    assert found["liveportrait_d3.mp4", 30, 320] == 1  # and a close-up that the large input misses
    assert found["liveportrait_d3.mp4", 30, 640] == 0


@pytest.mark.usefixtures("clips")
def test_the_five_points_are_eyes_nose_and_mouth_from_left_to_right(detector: ScrfdDetector) -> None:
    (face,) = detector.detect(picture_of("retalking_face3.mp4", 0), 320)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 500)])
def test_a_picture_of_any_shape_can_be_searched(detector: ScrfdDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8), 320) == []


def test_opening_fails_when_the_file_is_missing_or_no_model_or_another_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        ScrfdDetector(tmp_path / "absent.onnx")
    page = tmp_path / "page.onnx"
    page.write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(ModelCorruptError):
        ScrfdDetector(page)
    with pytest.raises(ModelError, match="not an SCRFD network"):
        ScrfdDetector(write_echo(tmp_path / "echo.onnx"))
