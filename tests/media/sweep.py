"""A tone that rises: each of its moments sounds like no other, so that a test hears where it is."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.sound import AudioCut, decode_sound

RATE_HZ = 48_000
_WINDOW_S = 0.1


def sweep(duration_s: float) -> NDArray[np.float64]:
    """So many seconds of it, at `RATE_HZ`."""
    times_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    return 0.5 * np.sin(2 * np.pi * (300 * times_s + 1200 * times_s**2))


def heard(path: Path) -> NDArray[np.float32]:
    """The decoded sound of a file of that rate, (N,)."""
    rows = [frame.to_ndarray().astype(np.float32) for frame in decode_sound(AudioCut(path))]
    return np.concatenate([row.reshape(row.shape[0], -1).mean(axis=0) for row in rows])


def heard_at(sound: NDArray[np.float32], start_s: float) -> float:
    """Where the sweep's moment `start_s` is heard, in seconds."""
    part = sweep(start_s + _WINDOW_S)[int(start_s * RATE_HZ) :]
    length = 1 << (len(sound) + len(part)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(sound, length) * np.conj(np.fft.rfft(part, length)), length)
    return int(np.abs(likeness[: len(sound)]).argmax()) / RATE_HZ
