"""What the hearing's weights are fitted to, as arrays of equal form: rows of the encoder beside what the mouth does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.speech_encoder import MODEL, ROWS_HZ, SpeechEncoder
from lipsync_core.generators.viseme.curves import CURVES_HZ, LEAD_S
from lipsync_core.models.store import ModelStore
from lipsync_core.smoothing import gaussian
from lipsync_core.workspace import Workspace
from training.hearing.mouths import MeasuredClip
from training.hearing.others import other_sounds
from training.hearing.phones import postures
from training.hearing.speech import Spoken
from training.hearing.visemes import VISEMES

#: Columns of the targets of synthetic speech.
TARGETS = ("jaw", "width", "closure", "tuck", "tongue", "speech", "lips meet")

_DIMENSIONS = 64  # kept of each layer's 384
_LEAD = round(LEAD_S * CURVES_HZ)
_SIGMAS = (4.5, 6.0, 2.0, 2.0, 2.0, 3.0)  # frames of 10 ms: how neighbouring postures flow into each other
_APPROACH_SIGMA = 4.0
_HOLD = 4


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """The directions in which the encoder's rows differ most: half by clean clips, half by synthetic speech."""

    mean: NDArray[np.float32]  # (2, 384)
    axes: NDArray[np.float32]  # (2, 384, 64)

    def __call__(self, rows: NDArray[np.float16]) -> NDArray[np.float32]:
        """(N, 128) for rows (N, 2, 384)."""
        low = np.einsum("nlk,lkp->nlp", rows.astype(np.float32) - self.mean, self.axes)
        flat: NDArray[np.float32] = low.reshape(len(rows), -1)
        return flat


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A stretch of a real person's speech."""

    person: str
    low: NDArray[np.float32]  # (N, 128)
    mouth: NDArray[np.float32]  # (N, 2) gap and width, in standard deviations of this person's clips
    is_loud: NDArray[np.bool_]  # (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Synthetic speech of one language."""

    name: str
    low: NDArray[np.float32]  # (N, 128)
    targets: NDArray[np.float32]  # (N, len(TARGETS))


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Everything."""

    basis: Basis
    seen: tuple[Seen, ...]
    known: tuple[Known, ...]
    others: tuple[NDArray[np.float32], ...]  # each (N, 128): no speech


def load(clips: Path, spoken: Path, without: frozenset[str] = frozenset()) -> Corpus:
    """Read what `mouths` and `speech` wrote, but for clips of grade B and the people of `without`."""
    measured = [MeasuredClip.load(path) for path in sorted(clips.glob("*.npz"))]
    measured = [clip for clip in measured if clip.grade == "A" and clip.person not in without]
    paths = sorted(spoken.glob("*.npz"))
    some = np.concatenate([Spoken.load(path).rows[::40] for path in paths])
    basis = _basis(np.concatenate([clip.rows for clip in measured]), some)
    encoder = SpeechEncoder.open(ModelStore(Workspace.default().models).open_usable(MODEL).path("encoder"))
    others = (np.concatenate(list(encoder.encode([sound]))) for sound in other_sounds(seed=1, each=20))
    return Corpus(
        basis,
        _seen(measured, basis),
        tuple(_known(path, basis) for path in paths),
        tuple(basis(rows) for rows in others),
    )


def _basis(first: NDArray[np.float16], second: NDArray[np.float16]) -> Basis:
    parts = [first.astype(np.float32), second.astype(np.float32)]
    mean = np.mean([part.mean(axis=0) for part in parts], axis=0)
    axes = []
    for layer in (0, 1):
        centred = [part[:, layer] - mean[layer] for part in parts]
        spread = sum(part.T @ part / len(part) for part in centred)
        axes.append(np.linalg.eigh(spread)[1][:, -_DIMENSIONS:])
    return Basis(mean.astype(np.float32), np.stack(axes).astype(np.float32))


def _seen(clips: list[MeasuredClip], basis: Basis) -> tuple[Seen, ...]:
    people = {clip.person for clip in clips}
    mouths = {person: np.concatenate([c.mesh for c in clips if c.person == person]) for person in people}
    found = []
    for clip in clips:
        if len(clip.middle_s) < ROWS_HZ // 2:
            continue
        times = np.arange(len(clip.rows)) / ROWS_HZ
        inside = (times >= clip.middle_s[0]) & (times <= clip.middle_s[-1])
        own = mouths[clip.person][:, :2]
        scaled = (clip.mesh[:, :2] - own.mean(axis=0)) / own.std(axis=0)
        mouth = np.stack([np.interp(times[inside], clip.middle_s, column) for column in scaled.T], axis=1)
        level = clip.level_db[::2][: len(times)]
        loud = level > np.percentile(level, 90) - 25.0
        found.append(Seen(clip.person, basis(clip.rows[inside]), mouth.astype(np.float32), loud[inside]))
    return tuple(found)


def _known(path: Path, basis: Basis) -> Known:
    spoken = Spoken.load(path)
    return Known(path.stem, basis(spoken.rows), known_targets(spoken))


def known_targets(spoken: Spoken) -> NDArray[np.float32]:
    """(N, len(TARGETS)) at the encoder's rows: what a mouth would do, `LEAD_S` before the sounds."""
    count = 2 * len(spoken.rows)
    aims = np.zeros((count, 7))
    for start_s, end_s, label in zip(spoken.starts_s, spoken.ends_s, spoken.labels, strict=True):
        shapes = (VISEMES[label],) if label in VISEMES else postures(label)
        edges = np.linspace(start_s, end_s, len(shapes) + 1)
        for shape, begin_s, stop_s in zip(shapes, edges, edges[1:], strict=False):
            first, end = max(0, round(begin_s * CURVES_HZ) - _LEAD), max(0, round(stop_s * CURVES_HZ) - _LEAD)
            aims[first:end, :2] = shape.jaw, shape.width
            aims[first:end, 3:6] = shape.tuck, shape.tongue, 1.0
            if shape.closure == 1.0:
                aims[first : max(end, first + _HOLD), [2, 6]] = 1.0
    free = 1.0 - gaussian(aims[:, 2], _APPROACH_SIGMA)
    flowing = [gaussian(aims[:, column], sigma) for column, sigma in enumerate(_SIGMAS)]
    flowing[0] = flowing[0] * free
    targets: NDArray[np.float32] = np.stack([*flowing, aims[:, 6]], axis=1)[::2].astype(np.float32)
    return targets
