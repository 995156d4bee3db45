"""The mel-frequency cepstrum that SyncNet takes as input, computed with numpy alone.

Every constant is a default of python_speech_features 0.6 (James Lyons, MIT), with which the public implementation of
SyncNet computes it; the network was trained with exactly these values. Method and mel scale are those of the HTK Book
(Young et al. 2002, sections 5.3 to 5.6); the window is a rectangle, and sums of samples of 16 bits are not scaled.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ

COEFFICIENTS = 13
#: Rows of the cepstrum in a second.
CEPSTRA_HZ = 100
#: Samples that one row looks at: 25 ms, every 10 ms.
WINDOW = SPEECH_RATE_HZ // 40
HOP = SPEECH_RATE_HZ // CEPSTRA_HZ

_TRANSFORMED = 512  # the window, filled up with zeros
_PRE_EMPHASIS = 0.97
_FILTERS = 26
_LIFTER = 22
_LEAST = float(np.finfo(np.float64).eps)  # stands for a power of 0, whose logarithm is taken


def mfcc(speech: NDArray[np.int16], before: int = 0) -> NDArray[np.float64]:
    """(M, 13) row k from samples 160 k to 160 k + 400 of `speech` (N,), 16 kHz mono; M is 1 + (N - 400) // 160.

    The first coefficient is the logarithm of the energy. `before` is the sample before the first one. The public
    implementation has one more row at the end of a sound, of a window that zeros fill up.
    """
    if len(speech) < WINDOW:
        return np.zeros((0, COEFFICIENTS))
    samples = np.concatenate([[before], speech]).astype(np.float64)
    sharpened = samples[1:] - _PRE_EMPHASIS * samples[:-1]
    windows = np.lib.stride_tricks.sliding_window_view(sharpened, WINDOW)[::HOP]  # (M, 400)
    power = np.square(np.abs(np.fft.rfft(windows, _TRANSFORMED, axis=1))) / _TRANSFORMED  # (M, 257)
    levels = np.log(_above_0(power @ _filters().T))  # (M, 26)
    rows = levels @ _cosines().T  # (M, 13)
    rows[:, 0] = np.log(_above_0(power.sum(axis=1)))
    return rows


def _above_0(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(powers == 0.0, _LEAST, powers)


@cache
def _filters() -> NDArray[np.float64]:
    """(26, 257) triangles between 0 Hz and 8 kHz, equally wide in mels, whose corners lie on bins of the spectrum."""
    highest_mel = 2595.0 * np.log10(1.0 + SPEECH_RATE_HZ / 2 / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(0.0, highest_mel, _FILTERS + 2) / 2595.0) - 1.0)
    edges = np.floor((_TRANSFORMED + 1) * edges_hz / SPEECH_RATE_HZ)[:, np.newaxis]  # (28, 1) bins
    bins = np.arange(_TRANSFORMED // 2 + 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]  # (26, 1)
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)  # (26, 257)
    return np.asarray(np.maximum(0.0, np.where(bins < middle, rising, falling)), np.float64)


@cache
def _cosines() -> NDArray[np.float64]:
    """(13, 26) the orthonormal discrete cosine transform (type 2), its rows lifted as speech recognisers do."""
    order = np.arange(COEFFICIENTS)[:, np.newaxis]
    cosines = np.cos(np.pi * order * (2 * np.arange(_FILTERS) + 1) / (2 * _FILTERS)) * np.sqrt(2.0 / _FILTERS)
    lift: NDArray[np.float64] = 1.0 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)
    cosines[0] /= np.sqrt(2.0)
    return np.asarray(cosines * lift, np.float64)
