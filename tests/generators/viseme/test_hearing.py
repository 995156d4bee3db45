"""Mouth curves from the speech encoder: what opens the mouth, what does not, and what a moment's curves depend on."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.loudness import LevelMeter, Levels
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder, first_row
from lipsync_core.generators.viseme.curves import CURVES_HZ, Curve, MouthCurves
from lipsync_core.generators.viseme.hearing import (
    MARGIN_S,
    Heard,
    heard_columns,
    mouth_samples,
    shipped_weights,
)
from lipsync_core.models.store import ModelStore
from tests.sounds import read_speech, tone

RATE_HZ = 16_000
Sound = NDArray[np.int16]
Hear = Callable[[Sound], NDArray[np.float32]]


@pytest.fixture(scope="module")
def encoder(model_store: ModelStore) -> SpeechEncoder:
    return SpeechEncoder.open(model_store.verify(MODEL).path("encoder"))


def heard(encoder: SpeechEncoder, sound: Sound, first_s: int = 0) -> tuple[NDArray[np.float32], Levels]:
    meter = LevelMeter()
    rows = np.concatenate(list(encoder.encode(meter.measure([sound]), first_s)))
    levels = meter.levels()
    begin = 2 * first_row(first_s) - first_s * CURVES_HZ
    return rows, Levels(levels.level_db[begin:])


@pytest.fixture
def hear(encoder: SpeechEncoder) -> Hear:
    return lambda sound: mouth_samples(*heard(encoder, sound))


@pytest.fixture(scope="module")
def speech() -> Sound:
    return read_speech(9.3)


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def noise(peak_db: float, seconds: float) -> NDArray[np.float64]:
    return np.random.default_rng(3).standard_normal(round(seconds * RATE_HZ)) * 32768 * 10 ** (peak_db / 20)


def music(seconds: float, peak: float = 9000.0) -> NDArray[np.float64]:
    """A chord every half second, over a drum."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    since = times % 0.5
    roots = 110.0 * 2.0 ** (np.array([0, 5, 7, 3])[(times / 0.5).astype(int) % 4] / 12)
    chord = sum(np.sin(2 * np.pi * roots * factor * times) for factor in (1.0, 1.26, 1.5, 2.0)) * np.exp(-4 * since)
    drum = np.random.default_rng(4).standard_normal(len(times)) * np.exp(-40 * since)
    mixed: NDArray[np.float64] = (chord / 4 + drum / 3) * peak
    return mixed


def jaw_of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples[:, Curve.JAW]


def test_speech_opens_and_closes_the_mouth(hear: Hear, speech: Sound) -> None:
    samples = hear(speech)
    jaw = jaw_of(samples)
    assert np.percentile(jaw[jaw > 0.1], 95) > 0.7
    assert (jaw < 0.05).any()
    assert samples.min(axis=0)[Curve.WIDTH] < -0.3 < 0.3 < samples.max(axis=0)[Curve.WIDTH]
    assert jaw.max() <= 1.0


@pytest.mark.parametrize(
    "sound",
    [
        silence(6.0),
        noise(-40.0, 6.0).astype(np.int16),
        noise(-20.0, 6.0).clip(-32768, 32767).astype(np.int16),
        tone(RATE_HZ, 1, 6.0)[:, 0],
        music(9.0).astype(np.int16),
    ],
    ids=["silence", "noise at -40 dBFS", "loud noise", "tone", "music"],
)
def test_no_speech_moves_nothing(hear: Hear, sound: Sound) -> None:
    assert not hear(sound).any()


def test_the_mouth_rests_in_pauses_and_after_the_end(hear: Hear, speech: Sound) -> None:
    samples = hear(np.concatenate([silence(1.5), speech[: 3 * RATE_HZ], silence(2.0)]))
    assert not samples[:100].any()
    assert not samples[-160:].any()
    assert jaw_of(samples).max() > 0.5


def test_an_empty_sound_is_at_rest() -> None:
    nothing = Levels(np.zeros(0, np.float32))
    samples = mouth_samples(np.zeros((0, 2, 384), np.float32), nothing)
    assert samples.shape == (40, len(Curve))
    assert not samples.any()


def test_closures_are_complete_and_shut_the_jaw(hear: Hear, speech: Sound) -> None:
    samples = hear(speech)
    closed = samples[:, Curve.CLOSURE] >= 1.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(int), [0]]))).reshape(-1, 2)
    assert len(edges) >= 3
    assert (edges[:, 1] - edges[:, 0]).min() >= 4  # frames of 10 ms
    assert jaw_of(samples)[closed].max() < 0.1
    times_s = np.arange(0.02, len(samples) / CURVES_HZ, 0.04)
    assert MouthCurves(samples).at(times_s)[:, Curve.CLOSURE].max() == 1.0


def close(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether a viewer would take two jaws for the same movement."""
    moved = np.corrcoef(jaw_of(first), jaw_of(second))[0, 1]
    return bool(moved > 0.95 and abs(jaw_of(first).max() - jaw_of(second).max()) < 0.15)


def test_a_minute_of_silence_around_it_does_not_change_how_far_speech_opens_the_mouth(
    hear: Hear, speech: Sound
) -> None:
    words = speech[: 3 * RATE_HZ]
    alone = hear(words)[:300]
    among = hear(np.concatenate([silence(28.0), words, silence(29.0)]))[2800:3100]
    assert close(alone, among)


@pytest.mark.parametrize("gain_db", [-30, -15])
def test_soft_speech_moves_the_mouth_as_loud_speech_does(hear: Hear, speech: Sound, gain_db: int) -> None:
    words = speech[: 5 * RATE_HZ]
    soft = (words * 10 ** (gain_db / 20)).astype(np.int16)
    assert close(hear(words), hear(soft))


def test_music_before_and_behind_speech_does_not_change_how_far_it_opens_the_mouth(hear: Hear, speech: Sound) -> None:
    words = speech[: 3 * RATE_HZ]
    tune = music(10.0).astype(np.int16)
    samples = hear(np.concatenate([tune, words, tune]))
    assert close(hear(words)[20:280], samples[1020:1280])
    assert not samples[:900].any()


def test_an_excerpt_has_the_curves_of_the_whole_sound(encoder: SpeechEncoder, speech: Sound) -> None:
    whole = np.tile(speech, 1 + 30 * RATE_HZ // len(speech))[: 30 * RATE_HZ]
    samples = mouth_samples(*heard(encoder, whole))
    first_s, end_s = 6, 26
    rows, levels = heard(encoder, whole[first_s * RATE_HZ : end_s * RATE_HZ], first_s)
    excerpt = mouth_samples(rows, levels)
    begin = 2 * first_row(first_s)  # the first sample of the excerpt, in the whole
    margin = round(MARGIN_S * CURVES_HZ)
    known = slice(margin, (end_s - 4) * CURVES_HZ - begin - margin)  # the encoder's last 4 s are those of an end
    assert known.stop - known.start >= 900
    assert np.array_equal(excerpt[known], samples[begin:][known])


def test_rows_far_away_change_no_bit(encoder: SpeechEncoder, speech: Sound) -> None:
    rows = heard(encoder, speech[: 6 * RATE_HZ])[0]
    changed = rows.copy()
    changed[:100] = 0.0
    before, after = (heard_columns(values, shipped_weights()) for values in (rows, changed))
    assert not np.array_equal(before[90:], after[90:])
    assert np.array_equal(before[111:], after[111:])


def test_the_weights_are_small_and_whole() -> None:
    weights = shipped_weights()
    assert all(np.isfinite(array).all() for array in weights)
    assert weights.leave.shape[1] + 1 == len(Heard)
    assert sum(array.size for array in weights) <= 300_000
