"""Hearing: from what the speech encoder hears to mouth curves, in any language.

One linear map, fitted to people who speak and to synthetic speech with known sounds (`docs/hearing.md`), gives the six
columns of `Heard` from the encoder's rows of 0.2 s on both sides. Constants scale them to curves. Nothing depends on
the whole sound, so the same speech moves the mouth alike in a sound of any length, and an excerpt has the curves of the
whole sound but for a margin.
"""

from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.loudness import Levels
from lipsync_core.audio.speech_encoder import ROWS_HZ
from lipsync_core.generators.viseme.curves import CURVES_HZ, LEAD_S, Curve
from lipsync_core.smoothing import gaussian

#: The curves within this of an excerpt's cut differ from those of the whole sound. The cut lies on a whole second.
MARGIN_S = 1.0

_WEIGHTS = "hearing.npz"
_BLOCK = ROWS_HZ  # rows of a product of matrices: equal blocks of equal rows make equal bits, whatever surrounds them
_STEPS = CURVES_HZ // ROWS_HZ
_LEAD = round(LEAD_S * CURVES_HZ)  # the map tells the mouth of a moment; `MouthCurves.at` takes it so much earlier

# Constants of the gates. Generated noises, tones and music stay below 0.32 of the smoothed `SPEECH` column (the highest
# of 27 that were not learned from: 0.30), the loud frames of 20 of 21 people above 0.5.
_SPEECH_LOW, _SPEECH_FREE = 0.36, 0.56
_SPEECH_SIGMA = 10.0  # frames of 10 ms
_SILENT_DB, _AUDIBLE_DB = -66.0, -58.0
_LEVEL_SIGMA = 3.0

# Frames of 10 ms, as in `curves`.
_CLOSURE_REACH = 3  # a closure is under way this long before and after the lips are heard to meet
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


class _Weights(NamedTuple):
    """The arrays of `hearing.npz`; `training.hearing.fit` writes them."""

    offsets: NDArray[np.int64]  # (C,) the rows that are looked at, from the row at hand
    maps: NDArray[np.float32]  # (C, 768, len(Heard)) one map for each offset, layers one after the other
    bias: NDArray[np.float32]  # (len(Heard),)
    zero: NDArray[np.float32]  # (len(Heard),) the value of a column that means 0 of its curve
    one: NDArray[np.float32]  # (len(Heard),) the value of a column that means 1 of its curve


@cache
def _weights() -> _Weights:
    with files("lipsync_core.generators.viseme").joinpath(_WEIGHTS).open("rb") as file, np.load(file) as arrays:
        return _Weights(*(arrays[name].astype(kind) for name, kind in _KINDS.items()))


_KINDS = {"offsets": np.int64, "maps": np.float32, "bias": np.float32, "zero": np.float32, "one": np.float32}


def mouth_samples(rows: NDArray[np.float32], levels: Levels) -> NDArray[np.float32]:
    """The samples of `MouthCurves`: (len(levels) + 40, len(Curve)) float32 at `CURVES_HZ`, at rest in the last 40.

    Args:
        rows: (N, 2, 384) of `SpeechEncoder`; the first is that of a whole second.
        levels: of the same sound from the same moment on: level 2 j is that of row j.
    """
    count = len(levels) + _TAIL
    if not len(rows) or not len(levels):
        return np.zeros((count, len(Curve)), np.float32)
    heard = _upsampled(heard_columns(rows), len(levels))
    weights = _weights()
    scaled = (heard - weights.zero) / (weights.one - weights.zero)
    speaking = _speaking(heard[:, Heard.SPEECH], levels)
    closing = _closing(scaled[:, Heard.CLOSURE], speaking)
    samples = np.zeros((len(levels), len(Curve)))
    samples[:, Curve.JAW] = _jaw(scaled[:, Heard.JAW], speaking) * (1.0 - _movement(closing, _APPROACH_SIGMA))
    samples[:, Curve.WIDTH] = np.clip(scaled[:, Heard.WIDTH] * speaking, -1.0, 1.0)
    samples[:, Curve.TUCK] = np.clip(scaled[:, Heard.TUCK], 0.0, 1.0) * speaking
    samples[:, Curve.TONGUE] = np.clip(scaled[:, Heard.TONGUE], 0.0, 1.0) * speaking
    pressed = _movement(closing, _CLOSURE_SIGMA)
    samples[:, Curve.CLOSURE] = np.maximum(pressed, _TUCK_CLOSURE * samples[:, Curve.TUCK])
    delayed = np.concatenate([np.zeros((_LEAD, len(Curve))), samples, np.zeros((_TAIL - _LEAD, len(Curve)))])
    return delayed.astype(np.float32)


def heard_columns(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, len(Heard)) float32 for the (N, 2, 384) rows: what the map gives, 50 Hz."""
    weights = _weights()
    offsets, maps, bias = weights.offsets, weights.maps, weights.bias
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1), np.float32)  # (N, 768)
    joined = np.ascontiguousarray(maps.transpose(1, 0, 2).reshape(flat.shape[1], -1))  # (768, C * len(Heard))
    parts = np.concatenate([_product(flat[start : start + _BLOCK], joined) for start in range(0, len(flat), _BLOCK)])
    parts = parts.reshape(len(flat), len(offsets), len(Heard))
    heard = np.tile(bias, (len(flat), 1))
    places = np.arange(len(flat))
    for index, offset in enumerate(offsets.tolist()):
        heard += parts[np.clip(places + offset, 0, len(flat) - 1), index]
    return heard


def _product(block: NDArray[np.float32], joined: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, J): `block` (n, 768) times `joined`, by a product of always the same shape."""
    whole = np.zeros((_BLOCK, block.shape[1]), np.float32)
    whole[: len(block)] = block
    product: NDArray[np.float32] = (whole @ joined)[: len(block)]
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
    loud = (gaussian(levels.level_db.astype(np.float64), _LEVEL_SIGMA) - _SILENT_DB) / (_AUDIBLE_DB - _SILENT_DB)
    return np.clip(sure, 0.0, 1.0) * np.clip(loud, 0.0, 1.0)


def _jaw(opening: NDArray[np.float64], speaking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 0..1, before any closure."""
    jaw = gaussian(np.maximum(opening, 0.0) * speaking, _JAW_SIGMA)
    room = 1.0 - _SOFT_LIMIT
    return np.where(jaw > _SOFT_LIMIT, _SOFT_LIMIT + room * np.tanh((jaw - _SOFT_LIMIT) / room), jaw)


def _closing(closure: NDArray[np.float64], speaking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 1 from the first to the last moment at which the lips are under way to meet or apart, 0 elsewhere."""
    near_speech = _largest_within(speaking, _NEAR_SPEECH) > 0.5
    return _largest_within(((closure > 1.0) & near_speech).astype(np.float64), _CLOSURE_REACH)


def _movement(aims: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """(N,) 0..1: a movement that is complete while its aim lasts, however short it is."""
    movement: NDArray[np.float64] = np.clip(_OVERSHOOT * gaussian(aims, sigma), 0.0, 1.0)
    return movement


def _largest_within(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """(N,) the largest of the values up to `reach` places away."""
    padded = np.pad(values, reach, mode="edge")
    largest: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return largest
