"""Sounds that are no speech, made from random numbers: noises, tones, chords, drums, clicks, engines, silence.

They teach the output `speech` what must not open the mouth.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ

_Sound = NDArray[np.float64]
_SECONDS = 8


def noise(random: np.random.Generator, count: int) -> _Sound:
    """White to brown noise, steady or swelling."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / SPEECH_RATE_HZ), 20.0)
    coloured = np.fft.irfft(spectrum * frequencies ** -random.uniform(0.0, 1.2), count)
    swell = 1.0 + random.uniform(0.0, 0.9) * np.sin(2 * np.pi * random.uniform(0.1, 3.0) * _times(count))
    swelling: _Sound = coloured * swell
    return swelling


def tone(random: np.random.Generator, count: int) -> _Sound:
    """One pitch alone or with its overtones."""
    if random.random() < 0.5:
        plain: _Sound = np.sin(2 * np.pi * random.uniform(60.0, 4000.0) * _times(count))
        return plain
    return _note(random, random.uniform(60.0, 2000.0), count)


def chords(random: np.random.Generator, count: int) -> _Sound:
    """Chords of struck or held notes, by a beat."""
    sound = np.zeros(count)
    beat = int(random.uniform(0.25, 1.5) * SPEECH_RATE_HZ)
    decay = random.uniform(0.0, 4.0)
    for start in range(0, count, beat):
        length = min(count - start, beat)
        root = 110.0 * 2 ** (random.integers(0, 24) / 12)
        steps = random.permutation([(0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 4, 7, 11)][int(random.integers(4))][:3])
        chord = sum((_note(random, root * 2 ** (step / 12), length) for step in steps), np.zeros(length))
        rise = np.minimum(1.0, _times(length) / 0.02) * np.minimum(1.0, _times(length)[::-1] / 0.02)
        sound[start : start + length] = chord * np.exp(-decay * _times(length)) * rise
    return sound


def melody(random: np.random.Generator, count: int) -> _Sound:
    """A single line of short notes."""
    sound = np.zeros(count)
    start = 0
    while start < count:
        length = min(count - start, int(random.uniform(0.08, 0.6) * SPEECH_RATE_HZ))
        fall = np.exp(-random.uniform(0.5, 8.0) * _times(length)) * np.minimum(1.0, _times(length) / 0.01)
        pitch_hz = 110.0 * 2 ** (random.integers(0, 36) / 12)
        sound[start : start + length] = _note(random, pitch_hz, length) * fall
        start += length
    return sound


def drums(random: np.random.Generator, count: int) -> _Sound:
    """Bursts of noise and falling tones, by a beat."""
    sound = np.zeros(count)
    beat = int(random.uniform(0.1, 0.5) * SPEECH_RATE_HZ)
    for start in range(0, count, beat):
        length = min(count - start, beat)
        times = _times(length)
        if random.random() < 0.5:
            hit = random.standard_normal(length) * np.exp(-times * random.uniform(15.0, 60.0))
        else:
            hit = 2 * np.sin(2 * np.pi * 60.0 * (times + 0.03 * (1 - np.exp(-times * 30)))) * np.exp(-times * 12)
        sound[start : start + length] = hit * random.uniform(0.3, 1.0)
    return sound


def engine(random: np.random.Generator, count: int) -> _Sound:
    """A low buzz with noise."""
    base = _note(random, random.uniform(25.0, 120.0), count)
    noisy: _Sound = base + random.uniform(0.1, 1.0) * noise(random, count) * np.abs(base).mean()
    return noisy


def band(random: np.random.Generator, count: int) -> _Sound:
    """Chords, a melody and drums together."""
    parts = (chords(random, count), melody(random, count), drums(random, count))
    return sum((random.uniform(0.2, 1.0) * part / (np.abs(part).max() + 1e-9) for part in parts), np.zeros(count))


_KINDS: tuple[Callable[[np.random.Generator, int], _Sound], ...] = (
    noise,
    tone,
    chords,
    melody,
    drums,
    engine,
    band,
    band,
)


def other_sounds(seed: int, each: int) -> Iterator[NDArray[np.int16]]:
    """Yield `each` sounds of 8 s of every kind, 16 kHz, at levels from -50 to -3 dBFS."""
    random = np.random.default_rng(seed)
    count = _SECONDS * SPEECH_RATE_HZ
    for _ in range(each):
        for kind in _KINDS:
            sound = kind(random, count)
            if random.random() < 0.5:  # it begins and ends while the encoder listens, and is cut off at once
                first, end = sorted(random.integers(0, count, 2))
                sound[:first] = 0.0
                sound[end:] = 0.0
            peak = 10 ** (random.uniform(-50.0, -3.0) / 20) * 32767
            yield (sound / (np.abs(sound).max() + 1e-9) * peak).astype(np.int16)
        yield np.zeros(count, np.int16)


def _note(random: np.random.Generator, pitch_hz: float, count: int) -> _Sound:
    vibrato = random.uniform(0.0, 0.01) * np.sin(2 * np.pi * random.uniform(3.0, 7.0) * _times(count))
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1.0 + vibrato)) / SPEECH_RATE_HZ
    overtones = int(random.integers(1, 9))
    slope = random.uniform(0.5, 2.0)
    kept = [k for k in range(1, overtones + 1) if k * pitch_hz < SPEECH_RATE_HZ / 2]
    return sum((np.sin(k * phase + random.uniform(0, 6)) / k**slope for k in kept), np.zeros(count))


def _times(count: int) -> _Sound:
    return np.arange(count) / SPEECH_RATE_HZ
