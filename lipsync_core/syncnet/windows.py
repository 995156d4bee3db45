"""Windows of .2 s, one from each picture on: five pictures of a face, and the cepstrum of the sound under them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ
from lipsync_core.audio.mfcc import HOP, WINDOW, mfcc
from lipsync_core.syncnet.network import CEPSTRA_A_FRAME, FRAME_HZ, WINDOW_CEPSTRA, WINDOW_FRAMES

#: Windows that the network takes at a time, 12 MB. It computes more at a time no faster.
BATCH = 4
_FRAME = SPEECH_RATE_HZ // FRAME_HZ  # samples under one picture


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Windows:
    """Consecutive windows of one stretch."""

    cepstra: NDArray[np.float32]  # (B, 1, 13, 20)
    faces: NDArray[np.float32]  # (B, 3, 5, 224, 224) BGR, 0..255

    def __len__(self) -> int:
        return len(self.cepstra)


class SoundTape:
    """The samples of a sound by their numbers, from its beginning to its end and never back."""

    def __init__(self, blocks: Iterable[NDArray[np.int16]]) -> None:
        """`blocks` (n,) of 16 kHz mono."""
        self._blocks = iter(blocks)
        self._held = np.zeros(0, np.int16)
        self._first = 0  # the number of the first sample held

    def between(self, first: int, end: int) -> NDArray[np.int16]:
        """The samples from `first` to `end`, exclusive; fewer where the sound ends. Those before `first` are let go."""
        while self._first + len(self._held) < end:
            block = next(self._blocks, None)
            if block is None:
                break
            passed = max(0, min(first - self._first, len(self._held)))
            self._held = np.concatenate([self._held[passed:], block])
            self._first += passed
        return self._held[first - self._first : end - self._first]


def windows_needed(frames: int) -> int:
    """How many windows a stretch of so many pictures has: the public implementation leaves out the last one."""
    return max(0, frames - WINDOW_FRAMES)


def stretch_windows(
    crops: Iterator[NDArray[np.uint8]], tape: SoundTape, first_frame: int, count: int
) -> Iterator[Windows]:
    """The first `count` windows of the stretch that begins with picture `first_frame`, or as many as have a sound.

    Of `crops` (224, 224, 3) uint8 BGR, one for each picture, `count + 4` are taken, or fewer where the sound ends. The
    stretch is heard as if the sound began with it; the public implementation cuts it so.
    """
    held: list[NDArray[np.uint8]] = []
    before = 0  # the sample before the next window
    start = first_frame * _FRAME
    for first in range(0, count, BATCH):
        wanted = min(BATCH, count - first)
        samples = tape.between(start + first * _FRAME, start + (first + wanted + WINDOW_FRAMES) * _FRAME)
        ready = min(wanted, len(samples) // _FRAME - WINDOW_FRAMES)
        if ready <= 0:
            return
        held = [*held[1 - WINDOW_FRAMES :], *islice(crops, ready + (0 if first else WINDOW_FRAMES - 1))]
        yield Windows(_cepstra(samples, ready, before), _faces(held))
        before = int(samples[ready * _FRAME - 1])


def _cepstra(samples: NDArray[np.int16], count: int, before: int) -> NDArray[np.float32]:
    """(count, 1, 13, 20) the cepstra of windows that begin with `samples`; `before` is the sample before them."""
    rows = (count - 1) * CEPSTRA_A_FRAME + WINDOW_CEPSTRA
    cepstra = mfcc(samples[: (rows - 1) * HOP + WINDOW], before)  # (rows, 13)
    windows = np.lib.stride_tricks.sliding_window_view(cepstra, WINDOW_CEPSTRA, axis=0)[::CEPSTRA_A_FRAME]
    return np.ascontiguousarray(windows[:, np.newaxis], np.float32)


def _faces(crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(B, 3, 5, 224, 224) the windows that begin with each of `crops` but the last four."""
    windows = np.lib.stride_tricks.sliding_window_view(np.stack(crops), WINDOW_FRAMES, axis=0)  # (B, 224, 224, 3, 5)
    return np.ascontiguousarray(windows.transpose(0, 3, 4, 1, 2), np.float32)
