"""Mouth curves: the movements of jaw, lips and tongue over the time of a speech (made by `hearing`)."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.loudness import LEVELS_HZ

CURVES_HZ = LEVELS_HZ

#: Lips move before their sound is heard; the study's value.
LEAD_S = 0.03

_HOLD = 4  # the least length of a closure, frames of 10 ms
_LONGEST_FRAME_S = 0.1


class Curve(IntEnum):
    """The columns of the array that `MouthCurves.at` returns."""

    JAW = 0  # 0 shut .. 1 wide open
    WIDTH = 1  # -1 rounded .. +1 spread
    CLOSURE = 2  # 0 lips free .. 1 pressed together
    TUCK = 3  # 0 .. 1 lower lip under the upper teeth (F, V)
    TONGUE = 4  # 0 .. 1 tip of the tongue at the teeth (TH, L)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MouthCurves:
    """Curves sampled at `CURVES_HZ`; implements `generators.contract.Conditions`."""

    samples: NDArray[np.float32]  # (N, len(Curve)), N >= 1; `at` shuts the jaw where lips close
    first: int = 0  # the number of the first of them in the whole sound

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or not len(self.samples) or self.samples.shape[1] != len(Curve):
            raise ValueError(f"curves of shape {self.samples.shape}")

    def __repr__(self) -> str:
        return f"MouthCurves({len(self.samples) / CURVES_HZ:.2f} s)"

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """(M, len(Curve)) float32 at `times_s` (M,), the middles of the frames, ascending.

        A closure that falls between two frame middles goes to the nearest frame, and the jaw shuts with it.
        Outside the speech the mouth rests.
        """
        times_s = np.asarray(times_s, np.float64)
        grid_s = np.arange(self.first, self.first + len(self.samples)) / CURVES_HZ - LEAD_S
        rows = np.stack([np.interp(times_s, grid_s, column) for column in self.samples.T], axis=1)
        slack_s = np.maximum(0.0, _spacings_s(times_s) - _HOLD / CURVES_HZ) / 2
        for curve in (Curve.CLOSURE, Curve.TUCK):
            nearby = [np.interp(times_s + k * slack_s, grid_s, self.samples[:, curve]) for k in (-1.0, -0.5, 0.5, 1.0)]
            rows[:, curve] = np.max([rows[:, curve], *nearby], axis=0)
        rows[:, Curve.JAW] *= 1.0 - rows[:, Curve.CLOSURE]
        return rows.astype(np.float32)


def _spacings_s(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) the duration of each frame, by the distance of its neighbours; `_LONGEST_FRAME_S` at most."""
    if len(times_s) < 2:
        return np.zeros(len(times_s))
    steps = np.diff(times_s)
    spacings = (np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])) / 2
    bounded: NDArray[np.float64] = np.clip(spacings, 0.0, _LONGEST_FRAME_S)
    return bounded
