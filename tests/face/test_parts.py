"""A track that is made in parts is the one that is made in one pass, to the bit."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.parts import JoinedParts, TrackPart, divided_track, frames_to_read, track_part
from lipsync_core.face.scrfd import ScrfdTracker
from lipsync_core.face.shots import part_starts
from lipsync_core.face.track import FaceTrack, ReadArrays
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.media.source_frame import SourceFrame
from tests.face.conftest import Picture, as_frames, blank_at, frames_with_face
from tests.shared_files import SCRFD, shared_file
from tests.thorough import first_of

RATE = 8  # frames/s, so that parts of few frames may begin: at frames 32, 64, 96
SIDE_PX = 590


@pytest.fixture(params=["mediapipe", "scrfd"])
def either(request: pytest.FixtureRequest, tracker: MediapipeTracker) -> FaceTracker:
    return tracker if request.param == "mediapipe" else ScrfdTracker(shared_file(SCRFD))


def as_slow_frames(pictures: list[Picture]) -> list[SourceFrame]:
    return [replace(frame, time_base=Fraction(1, RATE)) for frame in as_frames(pictures)]


def there_and_back(pictures: list[Picture], count: int) -> list[Picture]:
    cycle = [*pictures, *pictures[-2:0:-1]]
    return [cycle[index % len(cycle)] for index in range(count)]


def parts_of(frames: list[SourceFrame], most: int) -> tuple[range, ...]:
    pts = np.array([frame.pts for frame in frames], np.int64)
    return divided_track(pts, frames[0].time_base, len(frames), most)


def made(tracker: FaceTracker, frames: list[SourceFrame], part: range, state: ReadArrays | None = None) -> TrackPart:
    read = frames_to_read(part, state is not None)
    return track_part(tracker, part, (frames[index] for index in read), None, StageClock(), state)


def in_parts(tracker: FaceTracker, frames: list[SourceFrame], most: int = 9) -> tuple[FaceTrack, list[range]]:
    """The track, and the parts that had to be made again."""
    whole, again = JoinedParts(None, len(frames)), []
    for frames_of_part in parts_of(frames, most):
        part = made(tracker, frames, frames_of_part)
        if not whole.goes_on_with(part):
            again.append(frames_of_part)
            part = made(tracker, frames, frames_of_part, whole.ended)
        whole.add(part)
    track = whole.track()
    assert track is not None
    return track, again


def assert_same(one: FaceTrack, other: FaceTrack) -> None:
    for name in ("frame_pts", "boxes", "scores", "landmarks", "covered"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.tracker, one.time_base, one.last_duration) == (other.tracker, other.time_base, other.last_duration)


def test_a_long_shot_in_parts_is_the_same_track(either: FaceTracker, woman: list[Picture]) -> None:
    frames = as_slow_frames(there_and_back(woman, 110))
    track, again = in_parts(either, frames)
    assert_same(track, either.track(frames, StageClock()))
    assert len(parts_of(frames, 9)) == 4
    assert again == []


@pytest.mark.parametrize("cut_at", first_of([10, 22, 31, 32, 33, 40], 3))
def test_shots_in_parts_are_the_same_track(
    cut_at: int, tracker: MediapipeTracker, woman: list[Picture], man: list[Picture]
) -> None:
    """A cut before, at and behind the frame from which the second part begins."""
    frames = as_slow_frames([*there_and_back(woman, cut_at), *there_and_back(man, 80 - cut_at)])
    track, again = in_parts(tracker, frames)
    assert_same(track, tracker.track(frames, StageClock()))
    assert again == []


def test_the_person_does_not_change_where_parts_meet(
    either: FaceTracker, woman: list[Picture], man: list[Picture]
) -> None:
    """He is the larger one at first, she is later: whoever begins later would choose her."""
    pictures = []
    for index, (left, right) in enumerate(zip(there_and_back(man, 70), there_and_back(woman, 70), strict=True)):
        grown = index / 69
        pictures.append(np.hstack([scaled(left, 1 - 0.4 * grown), scaled(right, 0.6 + 0.4 * grown)]))
    frames = as_slow_frames(pictures)
    track, again = in_parts(either, frames)
    assert_same(track, either.track(frames, StageClock()))
    assert again != []
    assert (track.boxes[:, 2] < SIDE_PX).all()


def scaled(picture: Picture, scale: float) -> Picture:
    side_px = len(picture)
    smaller = cv2.resize(picture, None, fx=scale, fy=scale)
    room = side_px - len(smaller)
    return cv2.copyMakeBorder(smaller, room // 2, room - room // 2, room // 2, room - room // 2, cv2.BORDER_REPLICATE)


def test_a_face_that_is_hidden_for_a_moment_where_parts_meet(tracker: MediapipeTracker, woman: list[Picture]) -> None:
    """It is not forgotten, and whoever begins there does not know it."""
    pictures = [scaled(picture, 0.4) for picture in there_and_back(woman, 70)]
    for index in (31, 32, 33):
        pictures[index][180:410, 180:410] = pictures[index][180, 180]
    frames = as_slow_frames(pictures)
    track, again = in_parts(tracker, frames)
    assert_same(track, tracker.track(frames, StageClock()))
    assert set(range(70)) - set(frames_with_face(track)) == {31, 32, 33}
    assert again == [range(33, 65)]


def test_a_long_stretch_without_a_face(tracker: MediapipeTracker, woman: list[Picture]) -> None:
    frames = as_slow_frames(blank_at(there_and_back(woman, 110), *range(20, 75)))
    track, again = in_parts(tracker, frames)
    assert_same(track, tracker.track(frames, StageClock()))
    assert again == []


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_parts_hold_every_frame_once(most: int) -> None:
    pts = np.arange(1000, dtype=np.int64)
    for count in (1, 20, 101, 999, 1000):
        parts = divided_track(pts, Fraction(1, 25), count, most)
        assert [index for part in parts for index in part] == list(range(count))
        assert 1 <= len(parts) <= most
        assert all(part.start - 1 in part_starts(pts, Fraction(1, 25)) for part in parts[1:])
        assert all(before.stop == after.start for before, after in pairwise(parts))


def test_parts_are_nearly_equal_and_begin_where_a_stretch_does() -> None:
    pts = np.arange(0, 1500 * 1001, 1001, dtype=np.int64)
    parts = divided_track(pts, Fraction(1, 30000), 1500, 3)
    assert len(parts) == 3
    assert max(map(len, parts)) - min(map(len, parts)) <= 4 * 30
