"""How well one movement of a mouth follows another: offset, correlation, and the second in which they differ most."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score.motion import FRAME_S, REACH_S, Motion
from lipsync_core.score_figures import Agreement, WorstSecond

#: In distances of the eyes: the mesh of a face that does not move its mouth trembles by less.
STILL = 0.004
_STEP_S = 0.01
_WIDTH_WEIGHT = 0.5  # beside 1 of the opening
#: Measured frames; from fewer nothing is told.
FEWEST = 10
_SECOND_S = 1.0
_FLAT = 1e-9
_MOST_AT_ONCE = 100_000  # numbers of an array: .8 MB


def agreement_of(seen: Motion, wanted: Motion) -> Agreement:
    """How well the mouth that was `seen` (in distances of the eyes) follows the `wanted` one.

    Offsets of up to `REACH_S` either way are tried, so `wanted` should reach as far beyond. The opening counts twice as
    much as the width, where both are known.
    """
    offsets_s = _offsets_s()
    if is_still(seen):
        return Agreement(None, 0.0, 0.0)
    correlations = correlations_of(seen, wanted, offsets_s)
    if not correlations.any():
        return Agreement(None, 0.0, 0.0)
    best = int(correlations.argmax())
    in_time = correlations[np.abs(offsets_s) <= FRAME_S + _STEP_S / 2].max()
    return Agreement(round(offsets_s[best] * 1000), float(correlations[best]), float(in_time))


def correlations_of(seen: Motion, wanted: Motion, offsets_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L,) -1..1, for each offset by which the seen motion may be late: Pearson's, of the openings and of the widths.

    Either counts as far as both of the motions have it; 0 where nothing moves.
    """
    pairs = ((seen.openings, wanted.openings, 1.0), (seen.widths, wanted.widths, _WIDTH_WEIGHT))
    total, weights = np.zeros(len(offsets_s)), np.full(len(offsets_s), _FLAT)
    at_once = max(1, _MOST_AT_ONCE // max(1, len(seen)))
    for first in range(0, len(offsets_s), at_once):
        part = slice(first, first + at_once)
        moments_s = seen.times_s - offsets_s[part, np.newaxis]  # (l, K)
        for mine, theirs, weight in pairs:
            expected = np.interp(moments_s, wanted.times_s, theirs)  # (l, K)
            spread = expected.std(axis=1)
            moves = (spread > _FLAT) & (mine.std() > _FLAT)
            product = ((expected - expected.mean(axis=1, keepdims=True)) * (mine - mine.mean())).mean(axis=1)
            total[part] += weight * np.where(moves, product / np.maximum(spread * mine.std(), _FLAT**2), 0.0)
            weights[part] += weight * moves
    return np.asarray(total / weights, np.float64)


def is_still(seen: Motion) -> bool:
    """Whether the mouth does not open and close, or too few frames of it were seen to tell."""
    return len(seen) < FEWEST or float(seen.openings.std()) < STILL


def worst_second(seen: Motion, wanted: Motion, numbers: NDArray[np.int64]) -> WorstSecond | None:
    """The second in which the opening differs most from the wanted one; `numbers` (K,) are those of the seen frames.

    The agreement of a second is that of the whole, which is the mean over all of its moments: 1 less half the squared
    difference of both movements, each in its own standard deviations.
    """
    if is_still(seen) or seen.times_s[-1] - seen.times_s[0] < _SECOND_S:
        return None
    expected = wanted.at(seen.times_s).openings
    if expected.std() <= _FLAT:
        return None
    missed = 1.0 - np.square(_standard(seen.openings) - _standard(expected)) / 2  # (K,)
    ends = np.searchsorted(seen.times_s, seen.times_s + _SECOND_S)
    firsts = np.flatnonzero(seen.times_s + _SECOND_S <= seen.times_s[-1] + _SECOND_S / 10)
    sums = np.concatenate([[0.0], np.cumsum(missed)])
    means = (sums[ends[firsts]] - sums[firsts]) / (ends[firsts] - firsts)
    worst = int(means.argmin())
    first, last = int(firsts[worst]), int(ends[firsts[worst]]) - 1
    return WorstSecond(float(seen.times_s[first]), int(numbers[first]), int(numbers[last]), float(means[worst]))


def _offsets_s() -> NDArray[np.float64]:
    steps = round(REACH_S / _STEP_S)
    return np.arange(-steps, steps + 1).astype(np.float64) * _STEP_S


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std(), np.float64)
