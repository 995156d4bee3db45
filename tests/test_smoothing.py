"""Gaussian smoothing."""

import numpy as np
import pytest

from lipsync_core.smoothing import gaussian


def test_an_impulse_becomes_a_bell_of_the_asked_width() -> None:
    impulse = np.zeros(81)
    impulse[40] = 1.0
    bell = gaussian(impulse, 3.0)
    offsets = np.arange(81) - 40
    assert bell.sum() == pytest.approx(1.0)
    assert np.sqrt((bell * offsets**2).sum()) == pytest.approx(3.0, rel=0.01)


def test_the_ends_repeat_outward() -> None:
    assert np.allclose(gaussian(np.full(5, 7.0), 4.0), 7.0)
    assert gaussian(np.array([1.0, 0, 0, 0, 0, 0]), 1.0)[0] == pytest.approx(0.7, abs=0.01)


def test_any_axis_of_any_array_is_smoothed_alone() -> None:
    values = np.random.default_rng(0).normal(size=(20, 2, 3)).astype(np.float32)
    smooth = gaussian(values, 1.5, axis=0)
    assert smooth.shape == values.shape
    assert smooth.dtype == np.float32
    assert np.allclose(smooth[:, 1, 2], gaussian(values[:, 1, 2], 1.5), atol=1e-6)
    assert np.allclose(gaussian(values.T, 1.5, axis=2), smooth.T, atol=1e-6)


def test_nothing_to_smooth_comes_back_as_a_copy() -> None:
    values = np.arange(3.0)
    assert gaussian(np.zeros((0, 2)), 2.0).shape == (0, 2)
    copy = gaussian(values, 0.0)
    assert np.array_equal(copy, values)
    assert copy is not values


def test_smoothing_fails_when_sigma_is_negative() -> None:
    with pytest.raises(ValueError, match="sigma"):
        gaussian(np.zeros(3), -1.0)
