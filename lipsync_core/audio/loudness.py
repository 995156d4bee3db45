"""The loudness of a sound, 100 times a second, measured while the sound is streamed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ

LEVELS_HZ = 100
FRAME = SPEECH_RATE_HZ // LEVELS_HZ  # samples

_FULL_SCALE = 32768.0
_WINDOW = 512  # samples, 32 ms, whose mean is taken out
_LOUDNESS = 400  # samples, 25 ms, the middle of the window
_FLOOR_DB = -90.0
_CHUNK_FRAMES = 200  # measured at a time, so that one long block needs no more memory than many short ones


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The level of a sound at times i / 100 s."""

    level_db: NDArray[np.float32]  # (N,) dB below full scale, -90..0, without any constant offset

    def __post_init__(self) -> None:
        if self.level_db.ndim != 1:
            raise ValueError(f"levels of shape {self.level_db.shape}")

    def __len__(self) -> int:
        return len(self.level_db)


class LevelMeter:
    """Measures the levels of a sound on its way to another consumer.

    It holds 2 s of samples and the levels (4 bytes per 10 ms), never the whole sound.
    """

    def __init__(self) -> None:
        self._held = np.zeros(_WINDOW // 2, np.int16)  # the first frame's middle is the first sample
        self._levels: list[Levels] = []
        self._samples = 0
        self._frames = 0

    def measure(self, blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        """Measure 16 kHz mono int16 `blocks` ((n,) each), and yield each unchanged."""
        for block in blocks:
            self._add(block)
            yield block

    def levels(self) -> Levels:
        """The levels of the sound so far, one for every 10 ms begun."""
        return self.between(0, self.count)

    @property
    def count(self) -> int:
        """The number of levels of the sound so far."""
        return -(-self._samples // FRAME)

    def between(self, first: int, end: int) -> Levels:
        """The levels from number `first` to `end`, exclusive, of the sound so far."""
        chunk = first // _CHUNK_FRAMES
        parts = self._levels[chunk : -(-end // _CHUNK_FRAMES)]
        if end > self._frames:
            parts = [*parts, self._rest()]
        place = slice(first - chunk * _CHUNK_FRAMES, end - chunk * _CHUNK_FRAMES)
        level_db = np.concatenate([part.level_db for part in parts] or [np.zeros(0, np.float32)])
        return Levels(level_db[place])

    def _rest(self) -> Levels:
        """The levels that need samples after those that are there: silence stands in for these."""
        frames = self.count - self._frames
        needed = max(0, (frames - 1) * FRAME + _WINDOW - len(self._held))
        return _measure(np.concatenate([self._held, np.zeros(needed, np.int16)]), frames)

    def _add(self, block: NDArray[np.int16]) -> None:
        self._samples += len(block)
        self._held = np.concatenate([self._held, block])
        while (frames := min((len(self._held) - _WINDOW) // FRAME + 1, _CHUNK_FRAMES)) >= _CHUNK_FRAMES:
            self._levels.append(_measure(self._held, frames))
            self._held = self._held[frames * FRAME :].copy()
            self._frames += frames


def _measure(samples: NDArray[np.int16], frames: int) -> Levels:
    """Levels of the first `frames` windows of `samples`."""
    if frames <= 0:
        return Levels(np.zeros(0, np.float32))
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::FRAME][:frames].astype(np.float32)
    windows -= windows.mean(axis=1, keepdims=True)  # (frames, 512)
    margin = (_WINDOW - _LOUDNESS) // 2
    power = np.square(windows[:, margin:-margin] / _FULL_SCALE).mean(axis=1)
    level_db = 10.0 * np.log10(power + 10 ** (_FLOOR_DB / 10))
    return Levels(level_db.astype(np.float32))
