"""The mel spectrogram that Wav2Lip takes as input, computed with numpy alone.

Every constant is that of the public implementation (Prajwal et al. 2020, "A Lip Sync Expert Is All You Need for
Speech to Lip Generation In the Wild"; its `hparams.py` and `audio.py`). The network was trained with exactly these
values; a different window or filter bank would be noise to it. The mel scale is Slaney's (Auditory Toolbox,
Apple Technical Report 45, 1994).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ

MEL_BANDS = 80
#: Columns of the spectrogram in a second: 16 kHz in hops of 200 samples.
MEL_HZ = 80
#: The value of silence in every band.
MEL_SILENCE = -4.0

_HOP = SPEECH_RATE_HZ // MEL_HZ
_WINDOW = 800  # samples: 50 ms
_PAD = _WINDOW // 2  # the first column is centred on the first sample
_PRE_EMPHASIS = 0.97
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
_FLOOR = 1e-5  # magnitude: -100 dB
_GAIN, _OFFSET = 1.6, 2.4  # -100..0 dB above the reference of 20 dB, mapped to -4..4: 8 * (dB - 20 + 100) / 100 - 4
_LIMIT = 4.0
_BATCH = 256  # columns transformed at a time: 3.2 s of sound, 2 MB of spectra

# Slaney's scale: linear below 1 kHz (3 mels to 200 Hz), then 27 mels to each factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BEND_HZ, _BEND_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0


def mel_spectrogram(speech: Iterable[NDArray[np.int16] | NDArray[np.float32]]) -> NDArray[np.float32]:
    """(80, M) float32 in -4..4, column k centred on k / 80 s; M is 1 + N // 200 for N samples, 0 for none.

    `speech` yields blocks (n,) of 16 kHz mono, int16 or float32 in -1..1, of any lengths; the result does not depend
    on the lengths. Only the result grows with the sound, by 25.6 kB a second. Half precision would halve that, but
    differ by 0.99e-3 from the public implementation, where 1e-3 is allowed.
    """
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)  # (800,) periodic
    filters = mel_filters()
    columns = [np.empty((MEL_BANDS, 0), np.float32)]
    for frames in _overlapping(_reflected(_pre_emphasised(speech))):
        spectrum = np.abs(np.fft.rfft(frames * window, axis=1))  # (n, 401) float32
        level = np.log10(np.maximum(_FLOOR, filters @ spectrum.T))  # (80, n)
        columns.append(np.clip(_GAIN * level + _OFFSET, -_LIMIT, _LIMIT).astype(np.float32))
    return np.concatenate(columns, axis=1)


def mel_filters(
    window: int = _WINDOW, lowest_hz: float = _LOWEST_HZ, highest_hz: float = _HIGHEST_HZ
) -> NDArray[np.float32]:
    """(80, B) triangular filters over the B = window // 2 + 1 bins of a spectrum, each of area 1 (in hertz)."""
    edges_hz = _mel_to_hz(np.linspace(_hz_to_mel(lowest_hz), _hz_to_mel(highest_hz), MEL_BANDS + 2))  # (82,)
    bins_hz = np.linspace(0.0, SPEECH_RATE_HZ / 2, window // 2 + 1)  # (B,)
    widths_hz = np.diff(edges_hz)  # (81,)
    distance_hz = edges_hz[:, None] - bins_hz  # (82, B)
    rising = -distance_hz[:-2] / widths_hz[:-1, None]  # (80, B)
    falling = distance_hz[2:] / widths_hz[1:, None]  # (80, B)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = (edges_hz[2:] - edges_hz[:-2])[:, None] / 2
    return (triangles / area).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    """A frequency of at least 0 Hz on Slaney's scale."""
    if hz < _BEND_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_BEND_MEL + np.log(hz / _BEND_HZ) / _LOG_STEP)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    bent = _BEND_HZ * np.exp(_LOG_STEP * (mels - _BEND_MEL))
    return np.where(mels < _BEND_MEL, mels * _LINEAR_HZ_PER_MEL, bent)


def _pre_emphasised(speech: Iterable[NDArray[np.int16] | NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """y[n] = x[n] - 0.97 x[n-1] over the joined blocks, x scaled to -1..1, with silence before."""
    last = np.zeros(1, np.float32)
    for block in speech:
        scale = 1.0 / 32768.0 if block.dtype == np.int16 else 1.0
        samples = block.astype(np.float32) * np.float32(scale)
        shifted = np.concatenate([last, samples])
        last = shifted[-1:]
        yield shifted[1:] - np.float32(_PRE_EMPHASIS) * shifted[:-1]


def _reflected(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The blocks with 400 samples mirrored before the first sample and after the last."""
    tail = np.empty(0, np.float32)  # all samples so far, or the last 401 of them
    is_begun = False
    for block in blocks:
        tail = np.concatenate([tail, block])
        if is_begun:
            yield block
        elif len(tail) > _PAD:
            is_begun = True
            yield tail[_PAD:0:-1]
            yield tail
        if is_begun:
            tail = tail[-_PAD - 1 :]
    if is_begun:
        yield tail[-2 : -_PAD - 2 : -1]
    elif len(tail):  # too short to mirror once: numpy mirrors to and fro
        yield np.pad(tail, _PAD, mode="reflect")


def _overlapping(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """(n, 800) windows, each 200 samples after the one before, n at most `_BATCH`; read-only views."""
    held = np.empty(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= _WINDOW + (_BATCH - 1) * _HOP:
            yield _windows(held)[:_BATCH]
            held = held[_BATCH * _HOP :]
    if len(held) >= _WINDOW:
        yield _windows(held)


def _windows(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
