"""Poses over time: noise is removed, motion stays, and smoothing stops at a cut."""

import numpy as np
import pytest

from lipsync_core.face.landmarks import UPPER_INNER_LIP, rows
from lipsync_core.generators.viseme.canonical import apply_transform, inverse_transform
from lipsync_core.generators.viseme.geometry import ClipGeometry
from tests.generators.faces import placed, plain_face, track_of

LIP = rows(UPPER_INNER_LIP)


def lips_in_frame(geometry: ClipGeometry, index: int) -> np.ndarray:
    """(11, 2) the upper lip by the geometry, in frame pixels."""
    pose = geometry.pose(index)
    assert pose is not None
    return apply_transform(inverse_transform(pose.transform), pose.points[LIP])


def test_a_jerky_head_is_followed_without_lag() -> None:
    # A clip whose pictures repeat while the head moves: smoothing put the mouth beside the face.
    faces = [placed(plain_face(), 100.0 + 12 * (index // 2), 200, 0.45) for index in range(24)]
    geometry = ClipGeometry(track_of([*faces]))
    for index in range(24):
        assert lips_in_frame(geometry, index) == pytest.approx(faces[index][LIP, :2], abs=0.5)


def test_a_steady_pan_is_followed_without_lag() -> None:
    faces = [placed(plain_face(), 100.0 + 3 * index, 200) for index in range(30)]
    geometry = ClipGeometry(track_of([*faces]))
    for index in range(8, 22):
        assert lips_in_frame(geometry, index) == pytest.approx(faces[index][LIP, :2], abs=0.1)


def test_the_noise_of_a_still_face_is_smoothed_out() -> None:
    rng = np.random.default_rng(1)
    true = placed(plain_face(), 300, 200)
    noisy = [true + rng.normal(0, 0.4, true.shape).astype(np.float32) for _ in range(60)]
    geometry = ClipGeometry(track_of([*noisy]))
    raw = np.diff([face[LIP, :2] for face in noisy], axis=0).std()
    steady = np.diff([lips_in_frame(geometry, index) for index in range(60)], axis=0).std()
    assert steady < 0.6 * raw


def test_nothing_is_smoothed_across_a_cut_or_a_gap() -> None:
    here, there = placed(plain_face(), 200, 200), placed(plain_face(), 700, 400, 2.0)
    geometry = ClipGeometry(track_of([here] * 5 + [there] * 5 + [None] * 3 + [here] * 5))
    for index, face in [(4, here), (5, there), (9, there), (13, here)]:
        assert lips_in_frame(geometry, index) == pytest.approx(face[LIP, :2], abs=1e-2)


def test_a_frame_without_a_face_has_no_pose() -> None:
    geometry = ClipGeometry(track_of([placed(plain_face(), 200, 200), None]))
    assert geometry.pose(0) is not None
    assert geometry.pose(1) is None


def test_the_closed_gap_is_that_of_closed_lips_only() -> None:
    shut, wide = placed(plain_face(1.0), 200, 200), placed(plain_face(15.0), 200, 200)
    assert ClipGeometry(track_of([shut] * 5 + [wide] * 20)).closed_gap == pytest.approx(1 / 45, rel=0.2)
    assert ClipGeometry(track_of([wide] * 20)).closed_gap == 0.0


def test_a_turned_head_is_told_from_a_frontal_one() -> None:
    frontal, turned = plain_face(), plain_face()
    turned[rows((4,))[0], 0] += 40.0
    geometry = ClipGeometry(track_of([placed(frontal, 200, 200)] * 20 + [placed(turned, 200, 200)] * 9))
    front, side = geometry.pose(5), geometry.pose(24)
    assert front is not None
    assert side is not None
    assert front.turn < 0.05
    assert side.turn > 0.3
