"""The input of the encoder against its definition, worked out in float64 with a Fourier transform by its formula."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.speech_features import WINDOW, speech_features
from tests.sounds import read_speech


def whisper_features(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """(80, 800) as Whisper's paper and public code define them, after levelling."""
    wave = samples / 32768.0
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    mirrored = np.concatenate([wave[200:0:-1], wave, wave[-2:-202:-1]])
    times = np.arange(400)
    frames = np.stack([mirrored[160 * k : 160 * k + 400] for k in range(800)]) * (
        0.5 - 0.5 * np.cos(np.pi * times / 200)
    )
    turns = np.exp(-2j * np.pi * np.outer(times, np.arange(201)) / 400)
    power = np.abs(frames @ turns) ** 2  # (800, 201)
    mel_of = lambda hz: np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))  # noqa: E731
    grid_hz = np.linspace(0, 8000, 800_001)
    corners_hz = np.interp(np.linspace(0, mel_of(np.array(8000.0)), 82), mel_of(grid_hz), grid_hz)
    bins_hz = np.arange(201) * 40.0
    bands = [
        2 / (high - low) * np.interp(bins_hz, [low, middle, high], [0, 1, 0])
        for low, middle, high in zip(corners_hz, corners_hz[1:], corners_hz[2:], strict=False)
    ]
    level = np.log10(np.maximum(power @ np.array(bands).T, 1e-10)).T
    return (np.maximum(level, level.max() - 8) + 4) / 4


@pytest.mark.parametrize("sound", ["speech", "noise", "short speech"])
def test_features_are_those_of_the_definition(sound: str) -> None:
    window = np.random.default_rng(1).normal(0, 900, WINDOW).astype(np.int16)
    if sound != "noise":
        window[:] = read_speech(8.0)
    if sound == "short speech":
        window[:-20_000] = 0
    features = speech_features(window)
    assert features.dtype == np.float32
    assert np.abs(features.T - whisper_features(window)).max() < 2e-4


def test_the_level_of_a_sound_does_not_matter() -> None:
    loud = read_speech(8.0)
    soft = (loud // 8).astype(np.int16)
    assert np.abs(speech_features(loud) - speech_features(soft)).mean() < 0.02


def test_digital_silence_has_the_lowest_features() -> None:
    silence = speech_features(np.zeros(WINDOW, np.int16))
    assert silence.shape == (800, 80)
    np.testing.assert_allclose(silence, -1.5, rtol=1e-6)
