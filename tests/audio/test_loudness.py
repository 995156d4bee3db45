"""Levels measured in a stream, and their scaling."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ as RATE_HZ
from lipsync_core.audio.loudness import LevelMeter, Levels


def tone(frequency_hz: float, amplitude: float, seconds: float = 1.0) -> NDArray[np.int16]:
    times_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.round(amplitude * np.sin(2 * np.pi * frequency_hz * times_s)).astype(np.int16)


def measured(samples: NDArray[np.int16], block: int = 4096) -> Levels:
    meter = LevelMeter()
    watched = meter.measure(samples[start : start + block] for start in range(0, len(samples), block))
    heard = list(watched)
    assert np.array_equal(np.concatenate([samples[:0], *heard]), samples)
    return meter.levels()


def test_a_sine_has_the_level_of_its_mean_square() -> None:
    level_db = measured(tone(400, 3276.8)).level_db[5:-5]  # -20 dB peak is -23.01 dB mean square
    assert np.abs(level_db + 23.01).max() < 0.2


def test_a_level_stands_where_the_sound_is() -> None:
    sound = np.zeros(RATE_HZ, np.int16)
    sound[8000:8160] = tone(1000, 10000, 0.01)
    assert abs(int(measured(sound).level_db.argmax()) - 50.5) <= 0.5


@pytest.mark.parametrize("block", [1, 159, 4096, 10**6])
def test_levels_do_not_depend_on_the_blocks(block: int) -> None:
    sound = np.random.default_rng(0).normal(0, 2000, 5000).astype(np.int16)
    levels, whole = measured(sound, block), measured(sound)
    assert len(levels) == 32  # every 10 ms begun
    assert np.array_equal(levels.level_db, whole.level_db)


def test_levels_join_exactly_beyond_one_chunk() -> None:
    sound = np.random.default_rng(0).normal(0, 2000, 25 * RATE_HZ).astype(np.int16)
    levels = measured(sound)
    assert len(levels) == 2500
    late = measured(sound[15 * RATE_HZ :])
    assert np.allclose(levels.level_db[1510:], late.level_db[10:], atol=1e-3)


def test_a_constant_offset_is_not_loud() -> None:
    assert measured(np.full(RATE_HZ, 12000, np.int16)).level_db[5:-5].max() < -80


@pytest.mark.parametrize("samples", [0, 1, 159, 161])
def test_very_short_sound_has_levels(samples: int) -> None:
    levels = measured(np.full(samples, 99, np.int16))
    assert len(levels) == -(-samples // 160)


def test_memory_does_not_grow_with_the_length() -> None:
    def minutes() -> Iterator[NDArray[np.int16]]:
        for _ in range(300):
            yield np.ones(RATE_HZ, np.int16)

    meter = LevelMeter()
    tracemalloc.start()
    try:
        for _ in meter.measure(minutes()):
            pass
        held_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 10 * RATE_HZ * 2 + 300 * 100 * 8 + 50_000
    assert peak_bytes < 20_000_000


def test_levels_fail_when_they_are_no_row() -> None:
    with pytest.raises(ValueError, match=r"levels of shape \(3, 2\)"):
        Levels(np.zeros((3, 2), np.float32))
