"""Measures the painted places of a movie on their way to the encoder, and judges the pictures of the whole of it."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.render import EditedRegion
from lipsync_core.score.covering import covered_looks, look_of
from lipsync_core.score.flicker import Place, pair_change
from lipsync_core.score.seam import seam_of
from lipsync_core.score.seen import SeenPair, SeenPictures, SeenRim
from lipsync_core.score_figures import Covering, PictureFigures, PictureMeasure

#: Pairs of frames a second that are looked at. The first frame of a pair is an even one and an odd one in turn, so that
#: a fault of every second frame is seen in every second pair.
PAIRS_HZ = 2
_FEWEST = 4  # pairs, and frames; from fewer nothing is told
_SECOND_S = 1.0


def pairs_to_look_at(is_synced: NDArray[np.bool_], frame_rate: Fraction | float) -> NDArray[np.bool_]:
    """(M,) the first frame of each pair: both are synced, and both parities take turns."""
    step = max(2, round(float(frame_rate) / PAIRS_HZ)) // 2 * 2
    firsts = np.arange(0, len(is_synced), step)
    firsts += np.arange(len(firsts)) % 2
    begins = np.zeros(len(is_synced), np.bool_)
    begins[firsts[firsts < len(is_synced) - 1]] = True
    begins[:-1] &= is_synced[:-1] & is_synced[1:]
    return begins


@dataclass(slots=True, eq=False)
class PictureMeter:
    """Implements `EditWatch`. A copy of it in another process measures a part of the movie."""

    begins_pair: NDArray[np.bool_]  # (M,) by the number of a frame in the output
    _rims: list[SeenRim] = field(default_factory=list)
    _pairs: list[SeenPair] = field(default_factory=list)
    _last: tuple[int, Place] | None = None

    def wants(self, number: int) -> bool:
        """See `EditWatch`."""
        return bool(self.begins_pair[number] or (number > 0 and self.begins_pair[number - 1]))

    def look(self, number: int, region: EditedRegion) -> None:
        """See `EditWatch`. A pair that a join of segments parts is left out."""
        if self.begins_pair[number]:
            seam = seam_of(region.before, region.after, region.mask)
            self._rims.append(SeenRim(number, seam, look_of(region.before)))
            self._last = (number, Place.of(region))
        elif self._last is not None and self._last[0] == number - 1:
            change = pair_change(self._last[1], Place.of(region))
            self._last = None
            if change is not None:
                self._pairs.append(SeenPair(number, change.flicker, change.held))

    def taken(self) -> SeenPictures:
        """The pictures measured since it was asked last."""
        taken = SeenPictures(tuple(self._rims), tuple(self._pairs))
        self._rims, self._pairs = [], []
        return taken


def judge_pictures(seen: SeenPictures, times_s: NDArray[np.float64]) -> PictureFigures | None:
    """The figures of a movie; None where too little of it was seen.

    `times_s` (M,) are the middles of all frames of the movie, in seconds.
    """
    rims, pairs = seen.rims, seen.pairs
    if len(rims) < _FEWEST or len(pairs) < _FEWEST:
        return None
    frames = np.array([rim.number for rim in rims])
    later = np.array([pair.number for pair in pairs])
    return PictureFigures(
        frames=len(rims),
        seam=_measure(np.array([rim.seam for rim in rims]), frames, times_s),
        flicker=_measure(np.array([pair.flicker for pair in pairs]), later, times_s),
        held=_measure(np.array([pair.held for pair in pairs]), later, times_s),
        covered=_covering(np.array([rim.look for rim in rims], np.uint8), frames, times_s),
    )


def _measure(values: NDArray[np.float64], numbers: NDArray[np.intp], times_s: NDArray[np.float64]) -> PictureMeasure:
    """The median of all values, and the mean of those of the worst second: more than one."""
    moments_s = times_s[numbers]
    ends = np.searchsorted(moments_s, moments_s + _SECOND_S)
    places = np.arange(len(values))
    firsts = np.minimum(places, np.maximum(0, ends - 2))
    lasts = np.minimum(np.maximum(ends, firsts + 2), len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = (sums[lasts] - sums[firsts]) / (lasts - firsts)
    worst = int(means.argmax())
    first = int(firsts[worst])
    return PictureMeasure(float(np.median(values)), float(means[worst]), float(moments_s[first]), int(numbers[first]))


def _covering(looks: NDArray[np.uint8], numbers: NDArray[np.intp], times_s: NDArray[np.float64]) -> Covering | None:
    covered = np.flatnonzero(covered_looks(looks))
    if not len(covered):
        return None
    first, last = int(numbers[covered[0]]), int(numbers[covered[-1]])
    return Covering(len(covered) / len(looks), float(times_s[first]), first, last)
