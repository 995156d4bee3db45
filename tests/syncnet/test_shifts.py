"""The distances at every shift, against the definition written out a pair at a time."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.syncnet.shifts import ShiftedDistances

LENGTH = 6  # of an embedding


def random_embeddings(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 2, LENGTH)).astype(np.float32)


def shifted(count: int, by: int) -> NDArray[np.float32]:
    """(count, 2, E) whose pictures show at moment i + `by` what the sound says at moment i."""
    said = random_embeddings(count + 40)[:, 0]
    return np.stack([said[20 : 20 + count], said[20 - by : 20 - by + count]], axis=1)


def summed_up(*stretches: NDArray[np.float32], batch: int = 4) -> ShiftedDistances:
    distances = ShiftedDistances()
    for stretch in stretches:
        for first in range(0, len(stretch), batch):
            distances.add(stretch[first : first + batch])
        distances.end_stretch()
    return distances


def mean_distances(*stretches: NDArray[np.float32]) -> list[float]:
    """By the definition: of each window's pictures to the sound of the window `shift` later, or to zeros."""
    means = []
    for shift in range(-15, 16):
        apart = []
        for stretch in stretches:
            for at, lips in enumerate(stretch[:, 1]):
                is_inside = 0 <= at + shift < len(stretch)
                sound = stretch[at + shift, 0] if is_inside else np.zeros(LENGTH)
                apart.append(np.sqrt(sum((float(a) - float(b) + 1e-6) ** 2 for a, b in zip(lips, sound, strict=True))))
        means.append(sum(apart) / len(apart))
    return means


@pytest.mark.parametrize("lengths", [(60,), (40, 33), (3,), (15, 1, 16)])
def test_the_figures_are_those_of_the_definition(lengths: tuple[int, ...]) -> None:
    stretches = [random_embeddings(length, seed) for seed, length in enumerate(lengths)]
    means = mean_distances(*stretches)
    figures = summed_up(*stretches).figures()
    assert figures is not None
    assert figures.lse_d == pytest.approx(min(means), abs=1e-5)
    assert figures.lse_c == pytest.approx(sorted(means)[15] - min(means), abs=1e-5)
    assert figures.offset_ms == 40 * (15 - means.index(min(means)))
    assert figures.windows == sum(lengths)


@pytest.mark.parametrize("late", [-15, -4, 0, 1, 15])
def test_a_shift_is_found_and_a_late_mouth_is_above_0(late: int) -> None:
    figures = summed_up(shifted(120, late)).figures()
    assert figures is not None
    assert figures.offset_ms == 40 * late


def test_the_figures_do_not_depend_on_the_batches() -> None:
    windows = random_embeddings(50)
    whole, parts = summed_up(windows, batch=50).figures(), summed_up(windows, batch=7).figures()
    assert whole is not None and parts is not None
    assert parts.lse_d == pytest.approx(whole.lse_d, abs=1e-9)
    assert parts.lse_c == pytest.approx(whole.lse_c, abs=1e-9)


def test_without_a_window_there_are_no_figures() -> None:
    assert summed_up().figures() is None
    assert summed_up(random_embeddings(0)).figures() is None


def test_memory_does_not_grow_with_the_length() -> None:
    def most_bytes(count: int) -> int:
        distances, windows = ShiftedDistances(), random_embeddings(4)
        tracemalloc.start()
        try:
            for _ in range(count):
                distances.add(windows)
            distances.end_stretch()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(20)
    assert most_bytes(400) < 1.2 * most_bytes(20)
