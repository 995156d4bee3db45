"""Other voices out of one: speech played faster or slower, coloured, in a room, beside noise.

A faster voice has higher formants, as that of a smaller person. The mouth's times are divided by the same factor.
"""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ

#: How much faster each variant is, before a random factor of up to 3 %.
SPEEDS = (0.8, 0.87, 0.94, 1.07, 1.16, 1.27)

_JITTER = 0.03
_COLOUR_DB = 3.0  # an octave
_NOISE_DB = (8.0, 35.0)  # the speech above the noise
_ROOM_SHARE = 0.4
_ROOM_SAMPLES = 3200
_PEAK = 12_000


def variant(speech: NDArray[np.int16], speed: float, random: np.random.Generator) -> tuple[NDArray[np.int16], float]:
    """The speech (N,) at 16 kHz as another voice would have it, and by how much it is faster."""
    faster = speed * float(random.uniform(1 - _JITTER, 1 + _JITTER))
    places = np.arange(0.0, len(speech) - 1, faster)
    voice = np.interp(places, np.arange(len(speech)), speech.astype(np.float64))
    voice = _coloured(voice, random.uniform(-_COLOUR_DB, _COLOUR_DB))
    noise = _coloured(random.standard_normal(len(voice)), random.uniform(-4.0, 0.0))
    share = 10 ** (-random.uniform(*_NOISE_DB) / 20)
    voice = voice + noise * share * np.sqrt(np.square(voice).mean() / np.square(noise).mean())
    if random.random() < _ROOM_SHARE:
        voice = np.convolve(voice, _room(random))[: len(voice)]
    scaled = voice / (np.abs(voice).max() + 1e-9) * _PEAK
    return scaled.astype(np.int16), faster


def _room(random: np.random.Generator) -> NDArray[np.float64]:
    """The answer of a room: the sound itself, and a tail that dies away within 0.2 s."""
    tail = random.standard_normal(_ROOM_SAMPLES) * np.exp(-np.arange(_ROOM_SAMPLES) / random.uniform(300.0, 1200.0))
    tail[0] = 8.0
    return tail


def _coloured(sound: NDArray[np.float64], slope_db: float) -> NDArray[np.float64]:
    """Rising by `slope_db` an octave."""
    frequencies = np.maximum(np.fft.rfftfreq(len(sound), 1 / SPEECH_RATE_HZ), 50.0)
    gains = 10 ** (slope_db * np.log2(frequencies / 1000.0) / 20)
    return np.fft.irfft(np.fft.rfft(sound) * gains, len(sound))
