"""The speech encoder: what a network hears in a sound, 50 rows a second, while the sound is streamed.

The network hears windows of 8 s. They lie on a grid of the sound's own time: the first begins 2 s before the sound, in
silence, and one follows every 4 s. Where two overlap, the earlier one fades into the later. So the rows of a moment
depend on the sound within 8 s of it and on nothing else: an excerpt that begins on the grid has the rows of the whole.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ, SoundPart
from lipsync_core.audio.speech_features import WINDOW, WINDOW_S, speech_features
from lipsync_core.audio.speech_network import SpeechNetwork, open_network

#: In the registry of models.
MODEL = "speech-encoder"
ROWS_HZ = 50
#: From one window's start to the next one's.
HOP_S = 4

_ROW = SPEECH_RATE_HZ // ROWS_HZ  # samples
_HOP = HOP_S * SPEECH_RATE_HZ  # samples
_HOP_ROWS = HOP_S * ROWS_HZ
_OVERLAP_S = WINDOW_S - HOP_S
_OVERLAP_ROWS = _OVERLAP_S * ROWS_HZ
_LEAD_S = 2  # of silence in the first window: where a window begins, the network knows least


class SpeechEncoder:
    """Hears sounds with one network, which threads may share."""

    def __init__(self, network: SpeechNetwork) -> None:
        self._network = network

    @classmethod
    def open(cls, path: Path) -> "SpeechEncoder":
        """The encoder of the model file at `path`, whose sha256 the caller has checked.

        Raises:
            ModelCorruptError: the file cannot be read.
        """
        return cls(open_network(path))

    def encode(self, blocks: Iterable[NDArray[np.int16]], first_s: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield (n, 2, 384) rows, row j of the sound centred on 20 j ms, with one for every 20 ms begun.

        `blocks` ((n,) each, of any lengths) are 16 kHz mono, consumed once; 8 s of them are held. They begin at
        `first_s` seconds of the sound: 0, or the start of a window. The rows begin with number `first_row(first_s)`,
        and the last 4 s of them are those of a sound that ends where the blocks do.

        Raises:
            ValueError: no window begins at `first_s`.
        """
        if first_s and (first_s + _LEAD_S) % HOP_S:
            raise ValueError(f"no window begins at {first_s} s")
        lead_s = 0 if first_s else _LEAD_S
        skipped = (_OVERLAP_S if first_s else _LEAD_S) * ROWS_HZ  # some rows of an excerpt lack the window before
        fading: NDArray[np.float32] | None = None  # the window before, where it overlaps this one
        for window, count in _windows(blocks, lead_s * SPEECH_RATE_HZ):
            rows = self._network.heard(speech_features(window))  # (400, 2, 384)
            if fading is not None:
                rows[:_OVERLAP_ROWS] += _fade() * (fading - rows[:_OVERLAP_ROWS])
            fading = rows[_HOP_ROWS:]
            yield rows[skipped : _HOP_ROWS if count > WINDOW else ceil(count / _ROW)]
            skipped = 0


def first_row(first_s: int) -> int:
    """The number of the first row that `SpeechEncoder.encode` yields for blocks that begin at `first_s` seconds."""
    return (first_s + _OVERLAP_S) * ROWS_HZ if first_s else 0


def surroundings(start_s: Fraction, end_s: Fraction | None) -> SoundPart:
    """The part of a sound whose rows within [start_s, end_s) are those of the whole sound.

    It holds every window that overlaps [start_s, end_s): it begins less than 8 s before, and ends at most 8 s behind.
    """
    first = floor((start_s + _LEAD_S - WINDOW_S) / HOP_S) + 1
    first_s = max(0, first * HOP_S - _LEAD_S)
    if end_s is None:
        return SoundPart(first_s)
    return SoundPart(first_s, floor((end_s + _LEAD_S) / HOP_S) * HOP_S - _LEAD_S + WINDOW_S)


def _windows(blocks: Iterable[NDArray[np.int16]], lead: int) -> Iterator[tuple[NDArray[np.int16], int]]:
    """Each window (WINDOW,), the first with `lead` samples of silence in front, and how many samples there are for it.

    They are more than WINDOW, or else it is the last one, which silence fills up.
    """
    held = np.zeros(lead, np.int16)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > WINDOW:
            yield held[:WINDOW], len(held)
            held = held[_HOP:]
    if len(held) > lead:
        yield np.pad(held, (0, WINDOW - len(held))), len(held)


@cache
def _fade() -> NDArray[np.float32]:
    """(overlap, 1, 1) the share of the earlier window where two overlap."""
    falling = (np.arange(_OVERLAP_ROWS, 0, -1, dtype=np.float32) - np.float32(0.5)) / np.float32(_OVERLAP_ROWS)
    return falling[:, None, None]
