"""Boxes: padded, steadied without lag, and never averaged across a cut or a gap."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.scrfd import ScrfdTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.wav2lip_boxes import FacePadding, face_boxes, upright_turns
from lipsync_core.media.decode import decode_frames
from lipsync_core.models.store import ModelStore
from tests.shared_files import SCRFD, shared_file

#: Eyes, nose tip and mouth corners of an upright face, around its middle.
FIVE_POINTS_PX = np.array([[-20, -25], [20, -25], [0, 0], [-15, 25], [15, 25]], np.float32)


def track_of(
    boxes: NDArray[np.float64], scores: NDArray[np.float64] | None = None, points: NDArray[np.float32] = FIVE_POINTS_PX
) -> FaceTrack:
    count = len(boxes)
    landmarks = np.zeros((count, 5, 3), np.float32)
    landmarks[:, :, :2] = points
    return FaceTrack(
        tracker="test/1",
        frame_pts=np.arange(count),
        time_base=Fraction(1, 25),
        last_duration=1,
        is_complete=True,
        boxes=boxes.astype(np.float32),
        scores=np.ones(count, np.float32) if scores is None else scores.astype(np.float32),
        landmarks=landmarks,
        covered=np.zeros(count, bool),
    )


def moving_boxes(count: int, step_px: float) -> NDArray[np.float64]:
    return np.array([100.0, 80.0, 200.0, 220.0]) + step_px * np.arange(count)[:, np.newaxis] * [1, 0, 1, 0]


NO_PADDING = FacePadding(bottom_px=0)


def test_the_box_of_a_moving_head_does_not_lag_not_even_at_the_ends() -> None:
    boxes = moving_boxes(9, step_px=4.0)
    np.testing.assert_array_equal(face_boxes(track_of(boxes), NO_PADDING), boxes)


def test_a_trembling_box_is_steadied() -> None:
    boxes = moving_boxes(25, step_px=0.0)
    boxes += np.where(np.arange(25) % 2, 5.0, -5.0)[:, np.newaxis]
    steady = face_boxes(track_of(boxes), NO_PADDING)[2:-2]
    assert np.abs(steady - moving_boxes(1, 0.0)).max() <= 1


def test_the_default_padding_takes_in_the_chin() -> None:
    boxes = face_boxes(track_of(moving_boxes(3, 0.0)), FacePadding())
    np.testing.assert_array_equal(boxes, [[100, 80, 200, 230]] * 3)


def test_boxes_are_not_averaged_across_a_cut_or_a_gap() -> None:
    boxes = np.concatenate([moving_boxes(4, 0.0), moving_boxes(4, 0.0) + 300.0, moving_boxes(4, 0.0)])
    boxes[8:10] = np.nan
    scores = np.ones(12)
    scores[8:10] = 0.0
    expected = np.where(np.isnan(boxes), 0.0, boxes)
    np.testing.assert_array_equal(face_boxes(track_of(boxes, scores), NO_PADDING), expected)


def test_a_clip_without_frames_has_no_boxes() -> None:
    assert face_boxes(track_of(np.empty((0, 4))), NO_PADDING).shape == (0, 4)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_faces_that_lie_on_their_side_are_recognised_and_padded_below_their_own_chin(turns: int) -> None:
    points = FIVE_POINTS_PX
    for _ in range(turns):  # to the right: (x, y) -> (-y, x) where y points down
        points = np.stack([-points[:, 1], points[:, 0]], axis=1)
    track = track_of(moving_boxes(2, 0.0), points=points)
    assert upright_turns(track) == turns
    grown = face_boxes(track, FacePadding(), turns)[0] - [100, 80, 200, 220]
    chin_side = {0: [0, 0, 0, 10], 1: [-10, 0, 0, 0], 2: [0, -10, 0, 0], 3: [0, 0, 10, 0]}
    np.testing.assert_array_equal(grown, chin_side[turns])


def test_a_clip_without_faces_stands_upright() -> None:
    assert upright_turns(track_of(np.full((3, 4), np.nan), np.zeros(3))) == 0


@pytest.mark.parametrize(("turns", "side", "sign"), [(0, 1, -1), (1, 2, 1), (2, 3, 1), (3, 0, -1)])
def test_the_box_of_a_mesh_grows_to_the_hairline_wherever_that_is(turns: int, side: int, sign: int) -> None:
    box = np.array([[100.0, 80.0, 240.0, 220.0]], np.float32)  # 140 each way
    one, points = np.ones(1, np.float32), np.zeros((1, len(KEPT), 3), np.float32)
    mesh = FaceTrack("test/1", np.arange(1), Fraction(1, 25), 1, True, box, one, points, np.zeros(1, bool))
    grown = np.zeros(4)
    grown[side] = sign * 20
    np.testing.assert_array_equal(face_boxes(mesh, NO_PADDING, turns)[0] - box[0], grown)


def test_a_box_starts_at_the_hairline_with_either_tracker(clips: Path, model_store: ModelStore) -> None:
    tops = []
    for tracker in (MediapipeTracker(model_store), ScrfdTracker(shared_file(SCRFD))):
        frames = decode_frames(clips / "retalking_face3.mp4", StageClock(), Fraction(1, 5))
        tops.append(face_boxes(tracker.track(frames, StageClock()), NO_PADDING)[:, 1])
    assert np.abs(tops[0] - tops[1]).max() < 12  # of 334; the mesh itself begins 43 px below
