"""How well do weights tell what real mouths do? The protocol of `shared/hearing/README.md`.

    python -m training.hearing.evaluate MOUTHS [WEIGHTS.npz]

MOUTHS is the folder of the measured mouths, of people who are measured and never learned from; where the data card
names one of them, give weights that were fitted `--without` them. It prints, for the columns that are heard and for the
curves that they become: the correlation of jaw and width for each identity, its median with a bootstrap interval over
identities, the area under the curve for the lowest tenth of the openings, and the lag of the best correlation.
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.audio.speech_encoder import MODEL, ROWS_HZ, SpeechEncoder
from lipsync_core.generators.viseme.curves import CURVES_HZ, LEAD_S, Curve
from lipsync_core.generators.viseme.hearing import Heard, heard_columns, mouth_samples, read_weights, shipped_weights
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace

_log = logging.getLogger(__name__)

#: By how much the sound of a file is late, in seconds (the protocol's table).
_LATE_S = {
    "d20": -0.2,
    "aoc": -0.1,
    "obama": -0.22,
    "mead_M030": -0.2,
    "mead_W040": -0.08,
    "mv2": -0.06,
    "pose2": -0.06,
    "grid_bbaf2n": 0.06,
    "rt1": 0.06,
}
_LAGS_S = np.arange(-5, 6) / ROWS_HZ
_DRAWS = 2000
_Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Mouth:
    """A real mouth, and what is told of it."""

    name: str
    times_s: _Array  # (T,) on the clock of the sound
    opening: _Array  # (T,)
    width: _Array  # (T,)
    heard: _Array  # (N, 2) jaw and width at ROWS_HZ
    curves: _Array  # (M, 2) jaw and width at CURVES_HZ


def _standard(values: _Array) -> _Array:
    scaled: _Array = (values - values.mean()) / values.std()
    return scaled


def _mouth(path: Path, encoder: SpeechEncoder, weights_file: Path | None) -> Mouth:
    with np.load(path) as arrays:
        found = arrays["found"].astype(bool)
        middle_s, mesh, other, audio = (
            arrays["mid"][found],
            arrays["mesh"][found],
            arrays["pfld"][found],
            arrays["audio"],
        )
    meter = LevelMeter()
    rows = np.concatenate(list(encoder.encode(meter.measure([audio]))))
    times_s = np.arange(len(rows)) / ROWS_HZ
    times_s = times_s[(times_s >= middle_s[0]) & (times_s <= middle_s[-1])]

    def seen(values: _Array) -> _Array:
        return _standard(np.interp(times_s, middle_s, values))

    if weights_file is None:
        weights = shipped_weights()
    else:
        with weights_file.open("rb") as file:
            weights = read_weights(file)
    samples = mouth_samples(rows, meter.levels(), weights).astype(np.float64)
    free = 1.0 - samples[:, Curve.CLOSURE]
    return Mouth(
        path.stem,
        times_s - _LATE_S.get(path.stem, 0.0),
        seen(mesh[:, 0]) + seen(other[:, 0]),
        seen(mesh[:, 1]) + seen(other[:, 2]),
        heard_columns(rows, weights)[:, [Heard.JAW, Heard.WIDTH]].astype(np.float64),
        np.stack([samples[:, Curve.JAW] * free, samples[:, Curve.WIDTH]], axis=1),
    )


def _at(values: _Array, rate_hz: int, times_s: _Array) -> _Array:
    places = np.arange(len(values)) / rate_hz
    return np.stack([np.interp(times_s, places, column) for column in values.T], axis=1)


def _area(told: _Array, is_closed: NDArray[np.bool_]) -> float:
    ranks = told.argsort().argsort()[~is_closed]
    opened, closed = len(ranks), int(is_closed.sum())
    return float((ranks.sum() - opened * (opened - 1) / 2) / (opened * closed))


def _report(title: str, mouths: list[Mouth], told: list[_Array]) -> None:
    jaw = np.array([np.corrcoef(t[:, 0], m.opening)[0, 1] for m, t in zip(mouths, told, strict=True)])
    width = np.array([np.corrcoef(t[:, 1], m.width)[0, 1] for m, t in zip(mouths, told, strict=True)])
    areas = [_area(t[:, 0], m.opening <= np.percentile(m.opening, 10)) for m, t in zip(mouths, told, strict=True)]
    random = np.random.default_rng(0)
    medians = [np.median(jaw[random.integers(0, len(jaw), len(jaw))]) for _ in range(_DRAWS)]
    low, high = np.percentile(medians, [2.5, 97.5])
    _log.info("%s: jaw %.2f [%.2f, %.2f]", title, np.median(jaw), low, high)
    _log.info("  width %.2f, closed or open %.2f", np.median(width), np.median(areas))
    _log.info("  %s", " ".join(f"{m.name} {j:.2f}/{w:.2f}" for m, j, w in zip(mouths, jaw, width, strict=True)))


def _lag_s(mouths: list[Mouth], rate_hz: int, told_of: dict[str, _Array], shift_s: float) -> float:
    means = []
    for lag_s in _LAGS_S:
        shifted = [_at(told_of[m.name], rate_hz, m.times_s + shift_s + lag_s)[:, 0] for m in mouths]
        means.append(np.mean([np.corrcoef(t, m.opening)[0, 1] for m, t in zip(mouths, shifted, strict=True)]))
    return float(_LAGS_S[int(np.argmax(means))])


def main(folder: Path, weights_file: Path | None) -> None:
    """Print the figures."""
    encoder = SpeechEncoder.open(ModelStore(Workspace.default().models).open_usable(MODEL).path("encoder"))
    mouths = [_mouth(path, encoder, weights_file) for path in sorted(folder.glob("*.npz"))]
    _report("columns", mouths, [_at(m.heard, ROWS_HZ, m.times_s) for m in mouths])
    _log.info("  lag %.2f s", _lag_s(mouths, ROWS_HZ, {m.name: m.heard for m in mouths}, 0.0))
    _report("curves", mouths, [_at(m.curves, CURVES_HZ, m.times_s + LEAD_S) for m in mouths])
    _log.info("  lag %.2f s", _lag_s(mouths, CURVES_HZ, {m.name: m.curves for m in mouths}, LEAD_S))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
