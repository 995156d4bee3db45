"""Offsets, correlations and the worst second of made movements."""

import numpy as np
import pytest

from lipsync_core.score.agreement import agreement_of, correlations_of, is_still, worst_second
from lipsync_core.score.motion import Motion
from tests.score.movements import made_motion, sampled, seen_of

FINE = made_motion(8.0)


@pytest.mark.parametrize("late_ms", [-240, -80, 0, 120, 400])
def test_the_offset_of_a_mouth_is_found(late_ms: int) -> None:
    found = agreement_of(sampled(FINE, 1.0, 7.0, late_ms / 1000), FINE)
    assert found.offset_ms == late_ms
    assert found.correlation > 0.99
    assert (found.in_time > 0.95) == (abs(late_ms) <= 40)


def test_a_mouth_measured_eight_times_a_second_tells_its_offset_as_finely() -> None:
    assert agreement_of(sampled(FINE, 1.0, 7.0, 0.13, rate_hz=8.0), FINE).offset_ms == 130


def test_another_movement_does_not_agree() -> None:
    found = agreement_of(sampled(made_motion(8.0, seed=2), 1.0, 7.0), FINE)
    assert found.in_time < 0.5


def test_a_width_that_is_not_known_does_not_count() -> None:
    seen = sampled(FINE, 1.0, 7.0)
    blind = Motion(FINE.times_s, FINE.openings, np.zeros(len(FINE)))
    assert correlations_of(seen, blind, np.zeros(1)) == pytest.approx([1.0])


def test_a_long_motion_is_worked_on_in_parts() -> None:
    seen = sampled(FINE, 1.0, 7.0)
    long = Motion(
        np.linspace(1.0, 7.0, 30_000),
        *(np.interp(np.linspace(1.0, 7.0, 30_000), seen.times_s, each) for each in (seen.openings, seen.widths)),
    )
    assert agreement_of(long, FINE).offset_ms == 0


@pytest.mark.parametrize("tremble", [0.0, 0.001])
def test_a_still_mouth_has_no_offset(tremble: float) -> None:
    seen = sampled(FINE, 1.0, 7.0)
    noise = np.random.default_rng(1).normal(0.08, tremble, len(seen))
    frozen = Motion(seen.times_s, noise, np.zeros(len(seen)))
    assert is_still(frozen)
    assert agreement_of(frozen, FINE).offset_ms is None
    assert agreement_of(frozen, FINE).in_time == 0.0


def test_a_few_frames_tell_nothing() -> None:
    assert agreement_of(sampled(FINE, 1.0, 1.2), FINE).offset_ms is None


def test_the_worst_second_is_the_one_in_which_the_mouth_did_not_move() -> None:
    seen = seen_of(sampled(FINE, 0.5, 7.5))
    seen.openings[(seen.numbers >= 100) & (seen.numbers < 125)] = 0.0
    times_s = 0.5 + np.arange(len(seen)) / 25
    worst = worst_second(seen.motion(times_s), FINE, seen.numbers)
    assert worst is not None
    assert abs(worst.first_frame - 100) <= 6
    assert worst.last_frame - worst.first_frame == 24
    assert worst.start_s == pytest.approx(times_s[worst.first_frame])
    assert worst.agreement < 0.7
