"""Tells a mouth that is covered by a mask from a bare one, by the colours of the face and the mesh's own doubt.

A mask is of another colour than the skin above it, at the cheeks, above and below the mouth alike, where a beard leaves
the cheeks bare; it has no red lips; and the mesh network is less sure of a masked face. All three have to hold, so that
shadows, beards, make-up and profiles, of which each has one or two of these signs, are no masks. The thresholds come
from photographs of masked and of other people, and from drawn masks: docs/decisions.md has the figures.
"""

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

#: A surer mesh is on a bare face: of 405 faces in photographs of masked people 98 in 100 had a lower logit, of 530
#: others 8 in 100.
_MAX_LOGIT = 28.0
_LOGIT_GROWTH = 0.3  # for each step of distance beyond `_MIN_DISTANCE`: a clear colour outweighs some of the sureness
_HIGHEST_LOGIT = 38.0  # none above is worth a look at the colours
_MIN_DISTANCE = 9.0  # of every covered place from the skin's colour, in CIELAB with `_WEIGHTS`
_WEIGHTS = (0.35, 1.0, 1.0)  # light falls off over a face, and hue does not
_MIN_REDNESS = 4.0  # of lips beyond their surroundings, along CIELAB's a axis
_REDNESS_SHARE = 0.12  # of the surroundings' own: a red mask is not evenly red
_REACH_PX = 3  # a place is the mean of nine pixels of the network's input, this far apart
_STEADY_S = Fraction(3, 10)  # to either side: the majority of these frames decides

_FOREHEAD = (151, 9, 168, 107, 336, 69, 299)
_BRIDGE = (168, 193, 417, 9, 8)  # of the nose, and between the brows: hair and hats cover some foreheads
_BARE = (*_FOREHEAD, *_BRIDGE)
_COVERED = ((205, 207), (425, 427), (199, 200), (164, 164))  # both cheeks, chin, and above the lips
_LIPS = ((14, 17), (0, 13))
_CHIN, _ABOVE_LIPS = 2, 3  # rows of `_COVERED`
_PLACES = np.array([*((point, point) for point in _BARE), *_COVERED, *_LIPS])  # (P, 2) mesh points
_OFFSETS = np.stack(np.meshgrid(*[np.array([-_REACH_PX, 0, _REACH_PX])] * 2), axis=-1).reshape(-1, 2)  # (9, 2)


def is_mouth_covered(pixels: NDArray[np.float32], points: NDArray[np.float32], logit: float) -> bool:
    """Whether a mask covers the mouth.

    Args:
        pixels: (S, S, 3) 0..1 RGB, the mesh network's input.
        points: (468, 2) x y of the mesh in it.
        logit: the network's own estimate that there is a face; below 0 there is none.
    """
    if not 0.0 <= logit < _HIGHEST_LOGIT:
        return False
    colours = _colours(pixels, points)  # (P, 3)
    bare, covered, lips = np.split(colours, [len(_BARE), len(_BARE) + len(_COVERED)])
    skins = [np.median(part, axis=0) for part in np.split(bare, [len(_FOREHEAD)])]
    distance = min(float(np.linalg.norm((covered - skin) * _WEIGHTS, axis=1).min()) for skin in skins)
    around = float(covered[[_CHIN, _ABOVE_LIPS], 1].mean())
    has_red_lips = float(lips[:, 1].mean()) - around > max(_MIN_REDNESS, _REDNESS_SHARE * around)
    is_doubtful = logit < _MAX_LOGIT + _LOGIT_GROWTH * (distance - _MIN_DISTANCE)
    return distance > _MIN_DISTANCE and not has_red_lips and is_doubtful


def _colours(pixels: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P, 3) CIELAB of the places; a place between two points takes both."""
    last = len(pixels) - 1
    at = np.rint(points[_PLACES]).astype(np.intp)[:, :, np.newaxis] + _OFFSETS  # (P, 2, 9, 2)
    columns, rows = np.clip(at[..., 0], 0, last), np.clip(at[..., 1], 0, last)
    means = pixels[rows, columns].mean(axis=(1, 2), dtype=np.float32)  # (P, 3)
    lab: NDArray[np.float32] = cv2.cvtColor(means[np.newaxis], cv2.COLOR_RGB2LAB)[0]
    return lab


def steadily_covered(
    seen: NDArray[np.bool_], is_sighted: NDArray[np.bool_], times_s: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(N,) `seen` without its flicker: covered is a frame whose neighbours with a face mostly are, .3 s to either side.

    Args:
        seen: (N,) whether each frame by itself seems covered.
        is_sighted: (N,) whether it has a face at all.
        times_s: (N,) its time, ascending.
    """
    reach_s = float(_STEADY_S) + 1e-6
    first = np.searchsorted(times_s, times_s - reach_s)
    end = np.searchsorted(times_s, times_s + reach_s, side="right")
    covered, sighted = (np.concatenate([[0], np.cumsum(each)]) for each in (seen & is_sighted, is_sighted))
    majority: NDArray[np.bool_] = 2 * (covered[end] - covered[first]) > sighted[end] - sighted[first]
    return majority & is_sighted
