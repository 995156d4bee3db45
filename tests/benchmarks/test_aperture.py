"""The measurements of the sync benchmark, on invented apertures."""

import math

import numpy as np
import pytest
from aperture import NEITHER, OPEN, SHUT, LipApertures, best_lag_s, frame_labels, separation
from numpy.typing import NDArray
from phones import Phone

PHONES = [
    Phone(label, start / 5, (start + 1) / 5)
    for start, label in enumerate(("SIL", "AA", "M", "S", "AE", "P", "AW", "SIL"))
]
MIDDLES_S = (np.arange(40) + 0.5) / 25


def following(phones: list[Phone], late_s: float = 0.0) -> NDArray[np.float64]:
    return (frame_labels(phones, MIDDLES_S - late_s) == OPEN).astype(np.float64)


def test_frames_are_labelled_by_the_phone_in_their_middle() -> None:
    labels = frame_labels(PHONES, np.array([0.1, 0.2, 0.39, 0.5, 0.7, 9.0]))
    assert labels.tolist() == [SHUT, OPEN, OPEN, SHUT, NEITHER, NEITHER]


def test_lips_that_follow_the_phones_are_told_apart_with_certainty() -> None:
    assert separation(LipApertures(MIDDLES_S, following(PHONES)), PHONES) == 1.0
    assert separation(LipApertures(MIDDLES_S, -following(PHONES)), PHONES) == 0.0


def test_still_lips_and_noise_are_chance() -> None:
    assert separation(LipApertures(MIDDLES_S, np.zeros(40)), PHONES) == 0.5
    noise = np.random.default_rng(0).normal(size=(200, 40))
    mean = np.mean([separation(LipApertures(MIDDLES_S, row), PHONES) for row in noise])
    assert mean == pytest.approx(0.5, abs=0.03)


def test_moving_the_sound_with_the_lips_restores_the_separation() -> None:
    late = LipApertures(MIDDLES_S, following(PHONES, 0.2))
    assert separation(late, PHONES) < 0.6
    assert separation(late, PHONES, shift_s=0.2) == 1.0


def test_frames_without_a_face_do_not_count() -> None:
    values = following(PHONES)
    values[::3] = np.nan
    assert separation(LipApertures(MIDDLES_S, values), PHONES) == 1.0


def test_separation_fails_to_a_nan_when_nothing_is_open() -> None:
    assert math.isnan(separation(LipApertures(MIDDLES_S, np.zeros(40)), [Phone("SIL", 0.0, 1.6)]))


@pytest.mark.parametrize("late_frames", [-3, 0, 5])
def test_the_lag_of_the_lips_is_found(late_frames: int) -> None:
    intended = np.random.default_rng(0).normal(size=200)
    times_s = (np.arange(200) + 0.5) / 25
    lips = LipApertures(times_s, np.roll(intended, late_frames))
    assert best_lag_s(lips, intended) == pytest.approx(late_frames / 25)


def test_apertures_fail_when_times_are_missing() -> None:
    with pytest.raises(ValueError, match="apertures at"):
        LipApertures(np.zeros(3), np.zeros(4))
