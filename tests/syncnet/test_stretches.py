"""Stretches of one face and their squares, against the public pipeline's steps written out."""

from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.face.track import FaceTrack
from lipsync_core.media.planes import Box
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.syncnet.stretches import crop_upright, find_stretches

BOX = (200.0, 100.0, 320.0, 240.0)
EYES_ABOVE = np.array([[-20, -25], [20, -25], [0, 0], [-15, 25], [15, 25]], np.float32)


def track_of(boxes: NDArray[np.float64], has_face: NDArray[np.bool_] | None = None) -> FaceTrack:
    count = len(boxes)
    seen = np.ones(count, bool) if has_face is None else has_face
    landmarks = np.zeros((count, 5, 3), np.float32)
    landmarks[:, :, :2] = EYES_ABOVE
    return FaceTrack(
        "test/1", np.arange(count), Fraction(1, 25), 1, True, boxes.astype(np.float32), seen.astype(np.float32),
        landmarks, np.zeros(count, bool),
    )  # fmt: skip


def all_frames(count: int) -> NDArray[np.int32]:
    return np.arange(count, dtype=np.int32)


def test_the_squares_are_those_of_the_public_pipeline() -> None:
    draw = np.random.default_rng(0)
    boxes = np.array(BOX) + np.cumsum(draw.normal(size=(110, 4)), axis=0)
    (stretch,) = find_stretches(track_of(boxes), all_frames(110))
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2
    columns = [sides, (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2]
    around = [[sorted(([0] * 6 + list(column) + [0] * 6)[at : at + 13])[6] for at in range(110)] for column in columns]
    for square, half, x, y in zip(stretch.boxes.tolist(), *around, strict=True):
        expected = [x - 1.4 * half, y - half, x + 1.4 * half, y + 1.8 * half]
        np.testing.assert_allclose(square, np.floor(expected), atol=1)  # a track's boxes are float32
    assert np.abs(stretch.boxes[50, 2:] - stretch.boxes[50, :2] - 2.8 * around[0][50]).max() <= 1


@pytest.mark.parametrize(("missing", "expected"), [(24, [(0, 250)]), (25, [(0, 110), (135, 115)])])
def test_a_gap_of_less_than_a_second_is_bridged(missing: int, expected: list[tuple[int, int]]) -> None:
    has_face = np.ones(250, bool)
    has_face[110 : 110 + missing] = False
    stretches = find_stretches(track_of(np.tile(BOX, (250, 1)), has_face), all_frames(250))
    assert [(stretch.first, len(stretch)) for stretch in stretches] == expected


def test_a_face_in_another_place_begins_a_stretch() -> None:
    boxes = np.tile(BOX, (230, 1))
    boxes[115:, ::2] += 60  # half of its width
    stretches = find_stretches(track_of(boxes), all_frames(230))
    assert [(stretch.first, len(stretch)) for stretch in stretches] == [(0, 115), (115, 115)]


@pytest.mark.parametrize(("frames", "size_px"), [(100, 140), (200, 100)], ids=["short", "small"])
def test_a_face_that_is_short_or_small_gives_no_stretch(frames: int, size_px: int) -> None:
    boxes = np.tile((0.0, 0.0, size_px, size_px), (frames, 1))
    assert find_stretches(track_of(boxes), all_frames(frames)) == []
    assert len(find_stretches(track_of(np.tile((0.0, 0.0, 102, 102), (102, 1))), all_frames(102))) == 1


def test_without_a_face_there_is_no_stretch() -> None:
    nothing = track_of(np.full((120, 4), np.nan), np.zeros(120, bool))
    assert find_stretches(nothing, all_frames(120)) == []


def test_a_frame_that_is_shown_twice_counts_twice() -> None:
    shown = np.repeat(all_frames(60), 2)
    (stretch,) = find_stretches(track_of(np.tile(BOX, (60, 1))), shown)
    assert stretch.frames.tolist() == shown.tolist()


def picture_of(rgb: NDArray[np.uint8]) -> SourceFrame:
    return SourceFrame(0, 0, 1, Fraction(1, 25), av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p"))


def test_a_crop_is_blue_first_and_grey_beyond_the_edges() -> None:
    red = np.zeros((300, 400, 3), np.uint8)
    red[:, :, 0] = 255
    crop = crop_upright(picture_of(red), Box(-224, 0, 224, 448), 0)
    assert crop.shape == (224, 224, 3)
    assert np.abs(crop[75, 180].astype(int) - (0, 0, 255)).max() <= 4
    assert crop[75, 50].tolist() == crop[200, 180].tolist() == [110, 110, 110]


def test_a_crop_beyond_the_picture_is_grey() -> None:
    crop = crop_upright(picture_of(np.zeros((64, 64, 3), np.uint8)), Box(100, 100, 324, 324), 0)
    assert (crop == 110).all() and crop.shape == (224, 224, 3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_lies_on_its_side_gives_the_same_crops(turns: int) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    (expected,) = crops_of(upright, 0)
    (found,) = crops_of(np.ascontiguousarray(np.rot90(upright, -turns)), turns)
    assert np.abs(found.astype(int) - expected).max() <= 3


def crops_of(rgb: NDArray[np.uint8], turns: int) -> list[NDArray[np.uint8]]:
    """The crop in the middle of a clip of `rgb`, whose face `turns` quarter turns to the left make upright."""
    height, width = (480, 640)
    corners = np.array(BOX).reshape(2, 2)
    points = EYES_ABOVE + corners.mean(axis=0).astype(np.float32)
    for _ in range(turns):  # a quarter turn to the right
        corners = np.stack([height - corners[:, 1], corners[:, 0]], axis=1)
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        height, width = width, height
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    track = track_of(np.tile(box, (110, 1)))
    track.landmarks[:, :, :2] = points
    (stretch,) = find_stretches(track, all_frames(110))
    assert stretch.turns == turns
    return [crop_upright(picture_of(rgb), Box(*stretch.boxes[50].tolist()), stretch.turns)]
