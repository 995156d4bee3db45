"""Mouth curves from the rows of the speech encoder, while the sound is streamed.

A second of rows takes 150 kB, so they become curves piece by piece, on a grid of the sound's own time, each piece with
a margin on either side. So the curves of a moment are the same in a sound of any length, and in an excerpt.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.loudness import LEVELS_HZ, LevelMeter, Levels
from lipsync_core.audio.speech_encoder import ROWS_HZ, SpeechEncoder, first_row, surroundings
from lipsync_core.generators.viseme.curves import MouthCurves

#: From rows (N, 2, 384) float32 at 50 Hz, and the 2 N or 2 N - 1 levels of the same time, to curves at their moments:
#: (len(levels) or more, len(Curve)) float32, with what follows the end of the sound behind them.
Hear = Callable[[NDArray[np.float32], Levels], NDArray[np.float32]]

_PIECE_S = 4
_PIECE = _PIECE_S * ROWS_HZ  # rows
_LEVELS_A_ROW = LEVELS_HZ // ROWS_HZ
_LOOK_S = 1  # a frame looks at curves as far from its middle: by the lead of the lips, and by half its own time


class CurveStream:
    """Turns sounds into mouth curves by `hear`, whose curves depend on `margin_s` around their moment and no more."""

    def __init__(self, encoder: SpeechEncoder, hear: Hear, margin_s: int) -> None:
        """Take a `margin_s` of one second at least."""
        self._encoder = encoder
        self._hear = hear
        self._margin_s = margin_s
        self._margin = margin_s * ROWS_HZ  # rows

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        """The part of a sound whose curves for frames within [start_s, end_s) are those of the whole sound.

        It reaches beyond them by a piece, the margin, and a window of the encoder, at most.
        """
        first_s = floor((start_s - _LOOK_S) / _PIECE_S) * _PIECE_S - self._margin_s
        last_s = None if end_s is None else ceil((end_s + _LOOK_S) / _PIECE_S) * _PIECE_S + self._margin_s
        return surroundings(Fraction(max(0, first_s)), None if last_s is None else Fraction(last_s))

    def curves(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> MouthCurves:
        """The curves of `part` of a sound from its first whole piece on. `speech` is consumed once.

        Some 20 s of sound, as samples and rows, are held.

        Raises:
            ValueError: there is no sound.
        """
        sound = _HeardSound(part)
        piece = first = ceil((sound.first + self._margin) / _PIECE) if sound.first else 0
        heard: list[NDArray[np.float32]] = []
        for rows in self._encoder.encode(sound.meter.measure(speech), part.first_s):
            sound.add(rows)
            while sound.end >= (piece + 1) * _PIECE + self._margin:
                heard.append(self._curves_of(piece, sound))
                piece += 1
                sound.forget(piece * _PIECE - self._margin)
        while piece * _PIECE < sound.end:
            heard.append(self._curves_of(piece, sound))
            piece += 1
        if not heard:
            raise ValueError("there is no sound to hear")
        return MouthCurves(np.concatenate(heard), first * _PIECE * _LEVELS_A_ROW)

    def _curves_of(self, piece: int, sound: "_HeardSound") -> NDArray[np.float32]:
        """(400 or fewer, len(Curve)) the curves of one piece; those of the last with what follows it."""
        begin, end = piece * _PIECE, (piece + 1) * _PIECE
        nearby = max(0, begin - self._margin)
        curves = self._hear(*sound.between(nearby, end + self._margin))[(begin - nearby) * _LEVELS_A_ROW :]
        return curves if end >= sound.end else curves[: _PIECE * _LEVELS_A_ROW]


class _HeardSound:
    """The rows of a sound that are still needed, by their number in the whole sound, and its levels."""

    def __init__(self, part: SoundPart) -> None:
        self.meter = LevelMeter()
        self.first = first_row(part.first_s)
        self._rows: NDArray[np.float32] | None = None  # (n, 2, 384)
        self._measured_from = part.first_s * ROWS_HZ

    @property
    def end(self) -> int:
        """The number after the last row."""
        return self.first + (0 if self._rows is None else len(self._rows))

    def add(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])

    def forget(self, before: int) -> None:
        """Free the rows with numbers below `before`."""
        if self._rows is not None and before > self.first:
            self._rows, self.first = self._rows[before - self.first :].copy(), before

    def between(self, begin: int, end: int) -> tuple[NDArray[np.float32], Levels]:
        """The rows from number `begin` to `end`, or to the last, and the levels of the same time."""
        if self._rows is None:
            raise ValueError("no rows are there")
        rows = self._rows[begin - self.first : end - self.first]
        place = (begin - self._measured_from) * _LEVELS_A_ROW
        return rows, self.meter.between(place, min(place + len(rows) * _LEVELS_A_ROW, self.meter.count))
