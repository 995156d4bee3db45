"""Closures and pauses: the moments at which a mouth should be shut, and at rest."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score.agreement import STILL
from lipsync_core.score.motion import Motion, SeenMouths, WantedMouth
from lipsync_core.score_figures import Closures, Silence

#: From here on a wanted closure is complete.
PRESSED = 0.9
#: Lips have met where the mesh sees them no further apart than this, in mouth widths; or, in clips in which it never
#: sees them meet, no further than this share of the way from their nearest to their furthest.
_CLOSED = 0.05
_NEARLY_CLOSED = 0.25
_NEAREST_PERCENT, _FURTHEST_PERCENT = 5, 95
_RESTS = 0.02  # of the wanted opening; 1 is wide open
_SHORTEST_PAUSE_S = 0.4
_MARGIN_S = 0.12  # at both ends of a pause, in which the mouth opens and shuts
_FEWEST = 4  # measured frames


def closures_of(seen: SeenMouths, closures: NDArray[np.float64]) -> Closures | None:
    """How many of the wanted closures are seen; None where none was asked for in the measured frames.

    `closures` (M,) are the wanted ones of every frame of the movie, 0..1.
    """
    if not len(seen):
        return None
    is_shut = np.zeros(len(closures), np.bool_)
    is_shut[seen.numbers] = _is_shut(seen.openings / seen.widths)
    is_measured = np.zeros(len(closures), np.bool_)
    is_measured[seen.numbers] = True
    asked = [slice(first, last + 1) for first, last in stretches(closures >= PRESSED)]
    met = [bool(is_shut[each].any()) for each in asked if is_measured[each].any()]
    return Closures(len(met), sum(met)) if met else None


def silence_of(seen: Motion, wanted: WantedMouth) -> Silence | None:
    """How much the mouth moves in the pauses of speech; None where too little of them was seen."""
    is_pause = np.zeros(len(seen), np.bool_)
    duration_s = 0.0
    seen_s = (seen.times_s[0], seen.times_s[-1]) if len(seen) else (0.0, 0.0)
    rests = (wanted.motion.openings < _RESTS) & (wanted.closures < PRESSED)
    for first, last in stretches(rests):
        start_s, end_s = wanted.motion.times_s[[first, last]] + (_MARGIN_S, -_MARGIN_S)
        if end_s - start_s < _SHORTEST_PAUSE_S - 2 * _MARGIN_S:
            continue
        inside = (seen.times_s >= start_s) & (seen.times_s <= end_s)
        is_pause |= inside
        if inside.any():  # the wanted mouth is known before and behind the movie, too
            duration_s += float(min(end_s, seen_s[1]) - max(start_s, seen_s[0]))
    if is_pause.sum() < _FEWEST:
        return None
    speech = seen.openings[~is_pause]
    moves = max(float(speech.std()) if len(speech) else 0.0, STILL)
    return Silence(duration_s, float(seen.openings[is_pause].std()) / moves)


def _is_shut(gaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K,) whether the lips have met, by the openings of all measured frames in mouth widths."""
    nearest, furthest = np.percentile(gaps, (_NEAREST_PERCENT, _FURTHEST_PERCENT))
    shut: NDArray[np.bool_] = gaps <= max(_CLOSED, nearest + _NEARLY_CLOSED * (furthest - nearest))
    return shut


def stretches(is_so: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first and the last place of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_so, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
