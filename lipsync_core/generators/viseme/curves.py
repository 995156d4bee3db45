"""Mouth curves: the movements of jaw, lips and tongue over the time of a speech.

Phones give the intended posture, loudness and the first formant scale it, and smoothing makes neighbouring
phones flow into each other. Recipe and constants come from the study behind this generator, which chose them
by eye and matched the amplitude to that of people's lips.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.loudness import LEVELS_HZ, LevelMeter, Levels, scaled_loudness, scaled_openness
from lipsync_core.audio.phones import Phone, PhoneRecogniser
from lipsync_core.generators.viseme.visemes import REST, VISEMES
from lipsync_core.smoothing import gaussian

CURVES_HZ = LEVELS_HZ

#: Lips move before their sound is heard; the study's value.
LEAD_S = 0.03

# The parts of a vowel's opening.
_PHONE_SHARE, _LOUDNESS_SHARE, _FORMANT_SHARE = 0.5, 0.25, 0.25
_GATE_LOW, _GATE_RANGE = 0.35, 0.45  # loudness at which the mouth begins to open, and from there to fully free
_VOICED_GATE = 0.3
_USUAL_PEAK = 0.9  # the 95th percentile of the voiced opening is levelled to this
_MAX_GAIN = 2.5  # a sound that needs more is no speech that could be levelled
_SOFT_LIMIT = 0.85

# Frames of 10 ms.
_JAW_SIGMA, _WIDTH_SIGMA, _SPEECH_SIGMA, _REST_SIGMA = 5.0, 6.0, 3.0, 2.0
_HOLD = 4  # the least length of a closure
_ONSET = 2  # a closure is under way this long before and after, so that it is complete in between
_APPROACH_SIGMA = 4.0  # the jaw rises towards a closure sooner and more gently than the lips
_PAUSE = 15  # silence of this length shuts the mouth
_TAIL = 40  # rest appended, so that the mouth comes to rest after the last sound
_OVERSHOOT = 1.3  # in a short phone the lips aim beyond the posture, which makes them arrive
_LONGEST_FRAME_S = 0.1


class Curve(IntEnum):
    """The columns of the array that `MouthCurves.at` returns."""

    JAW = 0  # 0 shut .. 1 wide open
    WIDTH = 1  # -1 rounded .. +1 spread
    CLOSURE = 2  # 0 lips free .. 1 pressed together
    TUCK = 3  # 0 .. 1 lower lip under the upper teeth (F, V)
    TONGUE = 4  # 0 .. 1 tip of the tongue at the teeth (TH, L)


#: The movements that phones either make or do not make, with the smoothing of each.
_ARTICULATIONS = MappingProxyType({Curve.CLOSURE: 2.2, Curve.TUCK: 2.2, Curve.TONGUE: 2.5})


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


def mouth_curves(speech: Iterable[NDArray[np.int16]]) -> MouthCurves:
    """The curves of a whole speech: blocks of 16 kHz mono int16, consumed once, about 30 s held at a time.

    Raises:
        ModelMissingError: the speech recogniser's models are missing.
    """
    meter = LevelMeter()
    phones = tuple(PhoneRecogniser().recognise(meter.measure(speech)))
    return curves_of(phones, meter.levels())


def curves_of(phones: Sequence[Phone], levels: Levels) -> MouthCurves:
    """The curves for known `phones` in a sound with the given `levels`; at rest throughout when it is silent."""
    count = len(levels) + _TAIL
    loudness = np.concatenate([scaled_loudness(levels.level_db), np.zeros(_TAIL)])
    openness = np.concatenate([scaled_openness(levels.openness_db), np.zeros(_TAIL)])
    spoken = [phone for phone in phones if phone.label in VISEMES] if loudness.any() else []
    postures = np.tile(np.array(REST), (count, 1))  # (N, len(Curve)) float64
    speaking = np.zeros(count)
    for phone in spoken:
        first, end = _frames(phone)
        postures[first:end] = VISEMES[phone.label]
        speaking[first:end] = 1.0
    samples = np.empty((count, len(Curve)))
    samples[:, Curve.JAW] = _jaw(postures[:, Curve.JAW], speaking, loudness, openness)
    samples[:, Curve.WIDTH] = _width(postures[:, Curve.WIDTH], speaking, loudness)
    for curve, sigma in _ARTICULATIONS.items():
        samples[:, curve] = _articulation(spoken, curve, count, sigma)
    bilabials = [phone for phone in spoken if VISEMES[phone.label].closure == 1.0]
    samples[:, Curve.JAW] *= 1.0 - _articulation(bilabials, Curve.CLOSURE, count, _APPROACH_SIGMA)
    return MouthCurves(samples.astype(np.float32))


def _frames(phone: Phone) -> tuple[int, int]:
    """The first frame of a phone, and the one after its last."""
    return round(phone.start_s * CURVES_HZ), round(phone.end_s * CURVES_HZ)


def _gate(loudness: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((loudness - _GATE_LOW) / _GATE_RANGE, 0.0, 1.0)


def _jaw(
    aims: NDArray[np.float64],
    speaking: NDArray[np.float64],
    loudness: NDArray[np.float64],
    openness: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N,) 0..1, before any closure."""
    if not speaking.any():
        return np.zeros(len(aims))
    usual = aims[speaking > 0].mean()
    opening = _PHONE_SHARE * aims + _LOUDNESS_SHARE * 2.0 * usual * loudness + _FORMANT_SHARE * openness
    jaw = gaussian(opening * _gate(loudness) * gaussian(speaking, _SPEECH_SIGMA), _JAW_SIGMA)
    voiced = _gate(loudness) * speaking > _VOICED_GATE
    if voiced.any():
        jaw *= min(_MAX_GAIN, _USUAL_PEAK / max(1e-6, float(np.percentile(jaw[voiced], 95))))
    room = 1.0 - _SOFT_LIMIT
    jaw = np.where(jaw > _SOFT_LIMIT, _SOFT_LIMIT + room * np.tanh((jaw - _SOFT_LIMIT) / room), jaw)
    opened: NDArray[np.float64] = jaw * (1.0 - gaussian(_pauses(speaking), _REST_SIGMA))
    return opened


def _width(
    aims: NDArray[np.float64], speaking: NDArray[np.float64], loudness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) -1..1."""
    audible = np.clip(1.5 * _gate(loudness) * speaking, 0.0, 1.0)
    return gaussian(aims * gaussian(speaking, _SPEECH_SIGMA) * audible, _WIDTH_SIGMA)


def _pauses(speaking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 1 in every silence that is long enough to shut the mouth, 0 elsewhere."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1.0], speaking, [1.0]])))
    pauses = np.zeros(len(speaking))
    for first, end in edges.reshape(-1, 2):
        if end - first >= _PAUSE:
            pauses[first:end] = 1.0
    return pauses


def _articulation(phones: Sequence[Phone], curve: Curve, count: int, sigma: float) -> NDArray[np.float64]:
    """(N,) 0..1: a movement that is complete while its phone lasts, however short the phone."""
    aims = np.zeros(count)
    for phone in phones:
        aim = VISEMES[phone.label][curve]
        first, end = _frames(phone)
        whole = slice(max(0, first - _ONSET), max(end, first + _HOLD) + _ONSET)
        aims[whole] = np.maximum(aims[whole], aim)
    movement: NDArray[np.float64] = np.clip(_OVERSHOOT * gaussian(aims, sigma), 0.0, 1.0)
    return movement


def _spacings_s(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) the duration of each frame, by the distance of its neighbours; `_LONGEST_FRAME_S` at most."""
    if len(times_s) < 2:
        return np.zeros(len(times_s))
    steps = np.diff(times_s)
    spacings = (np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])) / 2
    bounded: NDArray[np.float64] = np.clip(spacings, 0.0, _LONGEST_FRAME_S)
    return bounded
