"""Hearing: from what the speech encoder hears to mouth curves, in any language.

A linear map and a small network, fitted to people who speak and to synthetic speech with known sounds
(`docs/hearing.md`), give the six columns of `Heard` from the encoder's rows of 0.2 s on both sides. Constants scale
them to curves. Nothing depends on the whole sound: the same speech moves the mouth alike in a sound of any length, and
an excerpt has the curves of the whole sound but for a margin.
"""

from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.loudness import Levels
from lipsync_core.audio.speech_encoder import ROWS_HZ
from lipsync_core.generators.viseme.curves import CURVES_HZ, LEAD_S, Curve
from lipsync_core.smoothing import gaussian

#: The curves within this of an excerpt's cut differ from those of the whole sound. The cut lies on a whole second.
MARGIN_S = 1.0

_WEIGHTS = "hearing.npz"
_DILATIONS = (1, 2)
_BLOCK = ROWS_HZ  # rows of a product of matrices: equal blocks of equal rows make equal bits, whatever surrounds them
_STEPS = CURVES_HZ // ROWS_HZ
# `heard_columns` tells the mouth of a moment, and `MouthCurves.at` takes the samples `LEAD_S` earlier. The pictures of
# the clips that it learned from come 10 ms late against their sound, measured on other people.
_LATE = 1
_DELAY = round(LEAD_S * CURVES_HZ) - _LATE

# Constants of the gates. Generated noises, chords and drums that were not learned from stay below 0.33 of the smoothed
# `SPEECH` column, the oddest of tones below 0.43; the loud frames of 20 of 21 people are above 0.5.
_SPEECH_LOW, _SPEECH_FREE = 0.42, 0.56
_SPEECH_SIGMA = 10.0  # frames of 10 ms
SILENT_DB, AUDIBLE_DB = -66.0, -58.0  # of the mean over some frames: below the first the mouth rests
_LEVEL_SIGMA = 3.0

# Frames of 10 ms, as in `curves`.
_CLOSURE_REACH = 4  # a closure is under way this long before and after the lips are heard to meet
_NEAR_SPEECH = 12  # a closure begins before its sound
_CLOSURE_SIGMA, _APPROACH_SIGMA, _JAW_SIGMA = 2.2, 4.0, 1.5
_OVERSHOOT = 1.3
_SOFT_LIMIT = 0.85
_TAIL = 40
_TUCK_CLOSURE = 0.6  # the lips nearly meet in an F


class Heard(IntEnum):
    """The columns that the map gives."""

    JAW = 0  # opening of the lips
    WIDTH = 1  # -1 rounded .. +1 spread
    CLOSURE = 2  # 1 while the lips are pressed together
    TUCK = 3  # 1 while the lower lip touches the upper teeth
    TONGUE = 4  # 1 while the tip of the tongue shows at the teeth
    SPEECH = 5  # 1 while somebody speaks


#: The values of the columns that mean 0 and 1 of their curves. Jaw, by six people of the data card who were left out of
#: the fit: 0 is what is heard while their lips touch, and 0.9, the usual peak, is the 95th percentile while
#: they speak. The closure is a logit; its 1 is the least that counts as a closure, lower than even odds, for a missed
#: closure is seen and one too many hardly.
_ZERO = np.array([-0.6, 0.0, -3.0, 0.15, 0.15, 0.0])
_ONE = np.array([1.85, 1.1, -0.5, 0.6, 0.8, 1.0])


class Weights(NamedTuple):
    """The arrays of `hearing.npz`; `training.hearing.fit` writes them. H is the width of the network."""

    offsets: NDArray[np.int64]  # (C,) the rows that the linear map looks at, from the row at hand
    maps: NDArray[np.float32]  # (C, 768, 3) jaw, width and speech for each offset; a row's layers one after the other
    bias: NDArray[np.float32]  # (3,)
    enter: NDArray[np.float32]  # (768, H)
    enter_bias: NDArray[np.float32]  # (H,)
    convolutions: NDArray[np.float32]  # (2, kernel, H, H) over rows, the second with steps of two rows
    convolution_bias: NDArray[np.float32]  # (2, H)
    leave: NDArray[np.float32]  # (H, 5) jaw, width, closure, tuck, tongue
    leave_bias: NDArray[np.float32]  # (5,)


@cache
def shipped_weights() -> Weights:
    """The weights of this package."""
    with files("lipsync_core.generators.viseme").joinpath(_WEIGHTS).open("rb") as file:
        return read_weights(file)


def read_weights(file: IO[bytes]) -> Weights:
    """The weights in an open `.npz` file that `training.hearing.fit` wrote."""
    with np.load(file) as arrays:
        kinds = {name: np.int64 if name == "offsets" else np.float32 for name in Weights._fields}
        return Weights(**{name: arrays[name].astype(kind) for name, kind in kinds.items()})


def mouth_samples(rows: NDArray[np.float32], levels: Levels, weights: Weights | None = None) -> NDArray[np.float32]:
    """The samples of `MouthCurves`: (len(levels) + 40, len(Curve)) float32 at `CURVES_HZ`, at rest in the last 40.

    Args:
        rows: (N, 2, 384) of `SpeechEncoder`; the first is that of a whole second.
        levels: of the same sound from the same moment on: level 2 j is that of row j.
        weights: others than those of this package.
    """
    count = len(levels) + _TAIL
    if not len(rows) or not len(levels):
        return np.zeros((count, len(Curve)), np.float32)
    heard = _upsampled(heard_columns(rows, weights or shipped_weights()), len(levels))
    scaled = (heard - _ZERO) / (_ONE - _ZERO)
    speaking = _speaking(heard[:, Heard.SPEECH], levels)
    closing = _closing(scaled[:, Heard.CLOSURE], speaking)
    samples = np.zeros((len(levels), len(Curve)))
    samples[:, Curve.JAW] = _jaw(scaled[:, Heard.JAW], speaking) * (1.0 - _movement(closing, _APPROACH_SIGMA))
    samples[:, Curve.WIDTH] = np.clip(scaled[:, Heard.WIDTH] * speaking, -1.0, 1.0)
    samples[:, Curve.TUCK] = np.clip(scaled[:, Heard.TUCK], 0.0, 1.0) * speaking
    samples[:, Curve.TONGUE] = np.clip(scaled[:, Heard.TONGUE], 0.0, 1.0) * speaking
    pressed = _movement(closing, _CLOSURE_SIGMA)
    samples[:, Curve.CLOSURE] = np.maximum(pressed, _TUCK_CLOSURE * samples[:, Curve.TUCK])
    delayed = np.concatenate([np.zeros((_DELAY, len(Curve))), samples, np.zeros((_TAIL - _DELAY, len(Curve)))])
    return delayed.astype(np.float32)


def heard_speech(rows: NDArray[np.float32], levels: Levels) -> NDArray[np.float64]:
    """(len(levels),) 0..1: somebody speaks, and it can be heard; `rows` and `levels` are as for `mouth_samples`."""
    heard = _upsampled(heard_columns(rows, shipped_weights()), len(levels))
    return _speaking(heard[:, Heard.SPEECH], levels)


def heard_columns(rows: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
    """(N, len(Heard)) float32 for the (N, 2, 384) rows: what map and network give, 50 Hz."""
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1), np.float32)  # (N, 768)
    mapped = weights.bias + _over_rows(flat, weights.maps, weights.offsets)  # (N, 3)
    hidden = np.maximum(_product(flat, weights.enter) + weights.enter_bias, 0.0)  # (N, H)
    layers = zip(weights.convolutions, weights.convolution_bias, _DILATIONS, strict=True)
    for kernel, bias, step in layers:
        reach = len(kernel) // 2
        around = _over_rows(hidden, kernel, np.arange(-reach, reach + 1) * step, repeats_edges=False)
        hidden = hidden + np.maximum(around + bias, 0.0)
    told = _product(hidden, weights.leave) + weights.leave_bias  # (N, 5)
    heard = np.zeros((len(rows), len(Heard)), np.float32)
    heard[:, [Heard.JAW, Heard.WIDTH, Heard.SPEECH]] = mapped
    heard[:, : told.shape[1]] += told
    return heard


def _over_rows(
    values: NDArray[np.float32],
    maps: NDArray[np.float32],
    offsets: NDArray[np.int64],
    repeats_edges: bool = True,
) -> NDArray[np.float32]:
    """(N, J): the sum of the (N, K) values at each offset times that offset's map of `maps` (C, K, J)."""
    count, (_, inner, outer) = len(values), maps.shape
    joined = np.ascontiguousarray(maps.transpose(1, 0, 2).reshape(inner, -1))  # (K, C * J)
    parts = _product(values, joined).reshape(count, len(offsets), outer)
    total = np.zeros((count, outer), np.float32)
    for index, offset in enumerate(offsets.tolist()):
        places = np.arange(count) + offset
        inside = (places >= 0) & (places < count)
        part = parts[np.clip(places, 0, count - 1), index]
        total += part if repeats_edges else np.where(inside[:, np.newaxis], part, np.float32(0.0))
    return total


def _product(values: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, J): `values` (N, K) times `matrix`, by products of always the same shape."""
    padded = np.zeros((-(-len(values) // _BLOCK) * _BLOCK, values.shape[1]), np.float32)
    padded[: len(values)] = values
    blocks = [padded[start : start + _BLOCK] @ matrix for start in range(0, len(padded), _BLOCK)]
    product: NDArray[np.float32] = np.concatenate(blocks)[: len(values)]
    return product


def _upsampled(heard: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """(count, len(Heard)) at `CURVES_HZ`; half-way samples are means, the last row is repeated."""
    after = np.concatenate([heard[1:], heard[-1:]])
    doubled = np.stack([heard, (heard + after) / 2], axis=1).reshape(_STEPS * len(heard), -1)
    places = np.minimum(np.arange(count), len(doubled) - 1)
    return doubled[places].astype(np.float64)


def _speaking(speech: NDArray[np.float64], levels: Levels) -> NDArray[np.float64]:
    """(N,) 0..1: somebody speaks, and it can be heard."""
    sure = (gaussian(speech, _SPEECH_SIGMA) - _SPEECH_LOW) / (_SPEECH_FREE - _SPEECH_LOW)
    loud = (gaussian(levels.level_db.astype(np.float64), _LEVEL_SIGMA) - SILENT_DB) / (AUDIBLE_DB - SILENT_DB)
    return np.clip(sure, 0.0, 1.0) * np.clip(loud, 0.0, 1.0)


def _jaw(opening: NDArray[np.float64], speaking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 0..1, before any closure."""
    jaw = gaussian(np.maximum(opening, 0.0) * speaking, _JAW_SIGMA)
    room = 1.0 - _SOFT_LIMIT
    return np.where(jaw > _SOFT_LIMIT, _SOFT_LIMIT + room * np.tanh((jaw - _SOFT_LIMIT) / room), jaw)


def _closing(closure: NDArray[np.float64], speaking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 1 from the first to the last moment at which the lips are under way to meet or apart, 0 elsewhere."""
    near_speech = _largest_within(speaking, _NEAR_SPEECH) > 0.5
    return _largest_within(((closure >= 1.0) & near_speech).astype(np.float64), _CLOSURE_REACH)


def _movement(aims: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """(N,) 0..1: a movement that is complete while its aim lasts, however short it is."""
    movement: NDArray[np.float64] = np.clip(_OVERSHOOT * gaussian(aims, sigma), 0.0, 1.0)
    return movement


def _largest_within(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """(N,) the largest of the values up to `reach` places away."""
    padded = np.pad(values, reach, mode="edge")
    largest: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return largest
