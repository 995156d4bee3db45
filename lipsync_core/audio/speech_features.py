"""The input of the speech encoder: Whisper's log-mel spectrogram of 8 s of sound, levelled.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2; constants of the public
implementation (openai/whisper, `audio.py`). The level before it is that of the encoder's own extractor: the window's
mean 0, its variance 1.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ
from lipsync_core.audio.mel import mel_filters

WINDOW_S = 8
WINDOW = WINDOW_S * SPEECH_RATE_HZ  # samples that the encoder hears at once
FEATURES_HZ = 100

_HOP = SPEECH_RATE_HZ // FEATURES_HZ  # samples
_SPECTRUM = 400  # samples, 25 ms
_FULL_SCALE = 32768.0
_LEAST_VARIANCE = 1e-7  # -70 dBFS: digital silence stays silent
_LEAST_POWER = 1e-10
_RANGE = 8.0  # 80 dB below the loudest band and moment count as silence


def speech_features(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """(800, 80) float32 from the `WINDOW` samples of a window; row k is centred on k / 100 s."""
    waves = _levelled(samples)
    padded = np.pad(waves, _SPECTRUM // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SPECTRUM)[::_HOP][: len(samples) // _HOP]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)  # (800, 201) complex64
    power = spectrum.real**2 + spectrum.imag**2
    level = np.log10(np.maximum(power @ _filters(), _LEAST_POWER))  # (800, 80)
    features: NDArray[np.float32] = (np.maximum(level, level.max() - _RANGE) + np.float32(4.0)) / np.float32(4.0)
    return features


def _levelled(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    waves = samples.astype(np.float64) / _FULL_SCALE
    waves -= waves.mean()
    waves /= np.sqrt(np.square(waves).mean() + _LEAST_VARIANCE)
    return waves.astype(np.float32)


@cache
def _hann() -> NDArray[np.float32]:
    """(400,) periodic."""
    return np.hanning(_SPECTRUM + 1)[:-1].astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    """(201, 80)."""
    return np.ascontiguousarray(mel_filters(_SPECTRUM, 0.0, SPEECH_RATE_HZ / 2).T)
