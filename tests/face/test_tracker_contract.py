"""The contract of every FaceTracker; a new tracker joins by lines in `CASES`."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.scrfd import ScrfdTracker
from lipsync_core.face.track import TrackedFace
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.media.decode import SourceFrame
from tests.face.conftest import Picture, as_frames, blank_at, frames_with_face, pictures_of
from tests.scrfd_network import drawn_faces, write_scrfd_network
from tests.shared_files import SCRFD, shared_file

BLANK = (5, 6)


class Onlooker:
    """Remembers its pictures."""

    def __init__(self) -> None:
        self.frames: list[SourceFrame] = []
        self.faces: list[TrackedFace] = []

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        self.frames.append(frame)
        self.faces.append(face)

    def findings(self) -> dict[str, NDArray[np.generic]]:
        return {}


@dataclass(frozen=True, slots=True)
class Case:
    """A tracker and pictures in which it sees a face."""

    tracker: FaceTracker
    pictures: list[Picture]


def mediapipe(request: pytest.FixtureRequest) -> FaceTracker:
    return MediapipeTracker(request.getfixturevalue("model_store"))


def scrfd(request: pytest.FixtureRequest) -> FaceTracker:
    return ScrfdTracker(shared_file(SCRFD))


def scrfd_of_drawings(request: pytest.FixtureRequest) -> FaceTracker:
    return ScrfdTracker(write_scrfd_network(request.getfixturevalue("tmp_path") / "drawings.onnx"))


def portrait(request: pytest.FixtureRequest) -> list[Picture]:
    return pictures_of(request.getfixturevalue("face_clip"), 12)


def drawing(request: pytest.FixtureRequest) -> list[Picture]:
    return drawn_faces(12)


def woman(request: pytest.FixtureRequest) -> list[Picture]:
    return request.getfixturevalue("woman")[:12]


#: A new tracker joins with pictures that the tests make, so that the suite runs everywhere, and with real ones.
CASES = {
    "mediapipe, portrait": (mediapipe, portrait),
    "mediapipe, real": (mediapipe, woman),
    "scrfd, drawing": (scrfd_of_drawings, drawing),
    "scrfd, portrait": (scrfd, portrait),
    "scrfd, real": (scrfd, woman),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    tracker, pictures = request.param
    return Case(tracker(request), pictures(request))


@pytest.fixture
def tracker_under_test(case: Case) -> FaceTracker:
    return case.tracker


@pytest.fixture
def frames(case: Case) -> list[SourceFrame]:
    return as_frames(blank_at(case.pictures, *BLANK))


def test_the_track_has_a_row_for_every_frame(tracker_under_test: FaceTracker, frames: list[SourceFrame]) -> None:
    clock = StageClock()
    track = tracker_under_test.track(iter(frames), clock)
    assert track.frame_pts.tolist() == list(range(12))
    assert (track.time_base, track.last_duration, track.duration_s) == (Fraction(1, 25), 1, Fraction(12, 25))
    assert track.is_complete
    assert track.tracker == tracker_under_test.name
    rows = {row.stage: row for row in clock.timings()}
    assert rows["track"].items == 12
    assert rows["track"].cpu_s > 0


def test_a_frame_without_a_face_has_score_0_and_no_numbers(
    tracker_under_test: FaceTracker, frames: list[SourceFrame]
) -> None:
    track = tracker_under_test.track(frames, StageClock())
    assert frames_with_face(track) == [index for index in range(12) if index not in BLANK]
    for index in BLANK:
        assert track.scores[index] == 0
        assert np.isnan(track.boxes[index]).all()
        assert np.isnan(track.landmarks[index]).all()
    found = track.has_face
    assert np.isfinite(track.landmarks[found]).all()
    assert ((track.scores[found] > 0) & (track.scores[found] <= 1)).all()


def test_the_box_lies_around_the_landmarks_and_in_the_picture(
    tracker_under_test: FaceTracker, frames: list[SourceFrame]
) -> None:
    track = tracker_under_test.track(frames, StageClock())
    boxes, points = track.boxes[track.has_face], track.landmarks[track.has_face, :, :2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    picture = frames[0].picture
    assert ((middles > 0) & (middles < (picture.width, picture.height))).all()
    assert ((points.mean(axis=1) > boxes[:, :2]) & (points.mean(axis=1) < boxes[:, 2:])).all()


def test_an_observer_sees_every_face_in_order(tracker_under_test: FaceTracker, frames: list[SourceFrame]) -> None:
    onlooker = Onlooker()
    track = tracker_under_test.track(frames, StageClock(), onlooker)
    assert [face.frame_index for face in onlooker.faces] == frames_with_face(track)
    assert all(frame is frames[face.frame_index] for frame, face in zip(onlooker.frames, onlooker.faces, strict=True))
    for face in onlooker.faces:
        np.testing.assert_array_equal(face.landmarks, track.landmarks[face.frame_index])
        np.testing.assert_array_equal(face.box, track.boxes[face.frame_index])


def test_tracking_again_gives_the_same_track(tracker_under_test: FaceTracker, frames: list[SourceFrame]) -> None:
    first = tracker_under_test.track(frames[:4], StageClock())
    again = tracker_under_test.track(frames[:4], StageClock())
    np.testing.assert_array_equal(first.landmarks, again.landmarks)


def test_a_clip_without_faces_gives_a_track_without_faces(tracker_under_test: FaceTracker) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (3, 120, 160, 3), np.uint8)
    assert frames_with_face(tracker_under_test.track(as_frames(noise), StageClock())) == []


def test_a_clip_without_frames_gives_an_empty_track(tracker_under_test: FaceTracker) -> None:
    assert len(tracker_under_test.track([], StageClock())) == 0


def test_the_source_pictures_are_left_untouched(tracker_under_test: FaceTracker, frames: list[SourceFrame]) -> None:
    before = [bytes(plane) for frame in frames[:2] for plane in frame.picture.planes]
    tracker_under_test.track(frames[:2], StageClock())
    assert [bytes(plane) for frame in frames[:2] for plane in frame.picture.planes] == before
