"""One person followed with SCRFD; the contract of all trackers is in test_tracker_contract."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.errors import ModelMissingError
from lipsync_core.face.scrfd import ScrfdTracker, find_faces
from lipsync_core.face.scrfd_detect import ScrfdDetector
from lipsync_core.media.decode import SourceFrame, decode_frames
from tests.face.conftest import Picture, Track, as_frames, blank_at, frames_with_face
from tests.scrfd_network import write_scrfd_network
from tests.shared_files import SCRFD, shared_file


@pytest.fixture(scope="module")
def largest() -> ScrfdTracker:
    return ScrfdTracker(shared_file(SCRFD))


def middles(boxes: np.ndarray) -> np.ndarray:
    """(N, 2) x y of the middle of each box."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def test_a_face_is_found_in_every_frame_with_five_points(largest: ScrfdTracker, clips: Path) -> None:
    clock = StageClock()
    track = largest.track(islice(decode_frames(clips / "retalking_face3.mp4", clock), 20), clock)
    assert track.has_face.all()
    assert track.landmarks.shape == (20, 5, 3)
    assert not track.is_mesh
    assert (track.landmarks[..., 2] == 0).all()
    assert np.abs(np.diff(middles(track.boxes), axis=0)).max() < 20


def test_a_close_up_that_the_large_input_misses_is_followed(largest: ScrfdTracker, clips: Path) -> None:
    """At 640 px alone, 12 of 15 frames of this clip have no face."""
    clock = StageClock()
    track = largest.track(islice(decode_frames(clips / "liveportrait_d3.mp4", clock), 0, 150, 15), clock)
    assert track.has_face.all()


def test_a_face_that_the_small_input_misses_is_followed(
    largest: ScrfdTracker, woman: list[Picture], track: Track
) -> None:
    far = [
        cv2.copyMakeBorder(cv2.resize(each, (80, 80)), 300, 700, 300, 700, cv2.BORDER_CONSTANT) for each in woman[:3]
    ]
    detector = ScrfdDetector(SCRFD)
    picture = as_frames(far)[0].picture
    assert find_faces(detector, picture, 320) == []
    assert len(find_faces(detector, picture, 640)) == 1
    found = track(largest, far)
    assert found.has_face.all()
    assert (np.abs(middles(found.boxes) - 340) < 12).all()


def test_the_largest_face_or_the_one_asked_for_is_followed(
    largest: ScrfdTracker, couple: list[Picture], track: Track
) -> None:
    right = middles(track(largest, couple[:3]).boxes)[:, 0]
    assert (right > 590).all()
    first = middles(track(ScrfdTracker(SCRFD, face=0), couple[:3]).boxes)[:, 0]
    assert (first < 590).all()
    np.testing.assert_array_equal(middles(track(ScrfdTracker(SCRFD, face=1), couple[:3]).boxes)[:, 0], right)


def test_nobody_is_followed_when_there_are_fewer_faces_than_asked_for(couple: list[Picture], track: Track) -> None:
    assert frames_with_face(track(ScrfdTracker(SCRFD, face=2), couple[:3])) == []


def test_the_same_person_is_followed_after_a_blank_although_another_is_larger(
    couple: list[Picture], track: Track
) -> None:
    """The man, first from the left, is the smaller one."""
    tracker = ScrfdTracker(SCRFD, face=0)
    found = track(tracker, [*couple[:3], *(np.full_like(couple[0], 90) for _ in range(2)), *couple[3:6]])
    # The blank is a cut: the choice is made anew, by the same rule.
    assert frames_with_face(found) == [0, 1, 2, 5, 6, 7]
    assert (middles(found.boxes[found.has_face])[:, 0] < 590).all()


def test_a_person_who_is_hidden_is_not_replaced_by_another(couple: list[Picture], track: Track) -> None:
    """The face is hidden for a second; the other one is in full view, and the picture changes too little for a cut."""
    hidden = [each.copy() for each in couple[:6]]
    for each in hidden[3:5]:
        each[100:500, 700:1080] = cv2.GaussianBlur(each[100:500, 700:1080], (0, 0), 40)
    found = track(ScrfdTracker(SCRFD), hidden)
    assert frames_with_face(found) == [0, 1, 2, 5]
    assert (middles(found.boxes[found.has_face])[:, 0] > 590).all()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_stored_turned_gives_the_same_face_turned(
    largest: ScrfdTracker, woman: list[Picture], quarters: int
) -> None:
    (upright,) = as_frames(woman[:1], "yuv444p")
    (turned,) = as_frames([np.ascontiguousarray(np.rot90(woman[0], -quarters))], "yuv444p")
    detector = ScrfdDetector(SCRFD)
    (expected,) = find_faces(detector, upright.picture, 320)
    (face,) = find_faces(detector, _Rotated(turned.picture, quarters * 90), 320)
    side = woman[0].shape[0] - 1
    x, y = expected.points.T
    points = {1: (side - y, x), 2: (side - x, side - y), 3: (y, side - x)}[quarters]
    np.testing.assert_allclose(face.points, np.stack(points, axis=1), atol=1.0)
    low, high = face.box[:2], face.box[2:]
    assert (low < face.points).all()
    assert (face.points < high).all()


class _Rotated:
    """A frame with a rotation of its own; PyAV's frames take theirs from the file only."""

    def __init__(self, picture: object, rotation: int) -> None:
        self._picture = picture
        self.rotation = rotation

    def __getattr__(self, name: str) -> object:
        return getattr(self._picture, name)


def test_a_picture_larger_than_needed_is_searched_in_part_of_its_size(woman: list[Picture]) -> None:
    small, large = (cv2.resize(woman[0], (side, side)) for side in (960, 2880))
    detector = ScrfdDetector(SCRFD)
    faces = [find_faces(detector, frame.picture, 320)[0] for frame in (*as_frames([small]), *as_frames([large]))]
    np.testing.assert_allclose(faces[1].points, faces[0].points * 3, atol=15)


def test_parameters_tell_networks_and_faces_apart(tmp_path: Path) -> None:
    network, other = write_scrfd_network(tmp_path / "network.onnx"), tmp_path / "other.onnx"
    other.write_bytes(network.read_bytes() + b"\x72\x00")  # an empty doc string more
    trackers = [
        ScrfdTracker(network),
        ScrfdTracker(network, face=0),
        ScrfdTracker(network, face=1),
        ScrfdTracker(other),
    ]
    assert len({tracker.parameters for tracker in trackers}) == 4
    assert ScrfdTracker(network).parameters == trackers[0].parameters


def test_making_a_tracker_fails_when_its_model_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"det_10g\.onnx"):
        ScrfdTracker(tmp_path / "det_10g.onnx")


def test_frames_are_counted_even_without_a_face(largest: ScrfdTracker, woman: list[Picture]) -> None:
    frames: list[SourceFrame] = as_frames(blank_at(woman[:9], *range(9)))
    clock = StageClock()
    track = largest.track(frames, clock)
    assert len(track) == 9
    assert not track.has_face.any()
    assert {row.stage: row.items for row in clock.timings()}["track"] == 9
