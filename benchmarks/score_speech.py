"""Real speech by the sync score: offsets of moved sounds, and how other people's speech scores."""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ
from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.models.store import ModelStore
from lipsync_core.score.agreement import agreement_of
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.motion import FRAME_S, Motion, WantedMouth, wanted_mouth
from lipsync_core.workspace import Workspace

SHIFTS_MS = (-240, -160, -80, 80, 160, 240)
LONG_S = 6.0
#: By how many ms the mouths of these files are late by themselves, as the protocol of the mouths says.
OWN_OFFSETS_MS = {
    "d20": -200,
    "aoc": -100,
    "obama": -220,
    "mead_M030": -200,
    "mead_W040": -80,
    "mv2": -60,
    "pose2": -60,
    "grid_bbaf2n": 60,
    "rt1": 60,
}
#: The hearing model learned from them, so that its figures are too kind.
LEARNED_FROM = ("grid_bbaf2n", "grid_brbk7n", "grid_id2", "grid_lrwp9a", "grid_sbia1a", "obama")


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A person who speaks: the mouth that was measured, and the sound."""

    name: str
    mouth: Motion
    sound: NDArray[np.int16]  # (N,) 16 kHz mono

    @property
    def duration_s(self) -> float:
        """To the last frame."""
        return float(self.mouth.times_s[-1])


def read_mouths(folder: Path) -> list[Spoken]:
    """All of a folder's, by name; moments without a face are left out."""
    people = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            found = arrays["found"].astype(bool)
            gaps, widths = arrays["mesh"][found, :2].astype(np.float64).T
            mouth = Motion(arrays["mid"][found].astype(np.float64), gaps, widths)
            people.append(Spoken(path.stem, mouth, arrays["audio"]))
    return people


class Ears:
    """Hears sounds, each once."""

    def __init__(self) -> None:
        self._generator = VisemeGenerator.open(ModelStore(Workspace.default().models))

    def heard(self, sound: NDArray[np.int16], mouth: Motion) -> tuple[WantedMouth, Motion]:
        """What the hearing model and the loudness expect while `mouth` is seen."""
        meter = LevelMeter()
        curves = self._generator.listen(meter.measure([sound]))
        return wanted_mouth(curves, mouth.times_s[0], mouth.times_s[-1]), loud_motion(meter.levels(), 0.0)


def moved(sound: NDArray[np.int16], shift_ms: int) -> NDArray[np.int16]:
    """The sound, later by `shift_ms`, as long as before."""
    samples = shift_ms * SPEECH_RATE_HZ // 1000
    still = np.zeros(abs(samples), np.int16)
    later = np.concatenate([still, sound[: len(sound) - samples]]) if samples >= 0 else sound[-samples:]
    return later if samples >= 0 else np.concatenate([later, still])


def part(person: Spoken, start_s: float, end_s: float) -> Spoken:
    """The person from `start_s` to `end_s`."""
    times_s = person.mouth.times_s
    inside = (times_s >= start_s) & (times_s < end_s)
    mouth = Motion(times_s[inside] - start_s, person.mouth.openings[inside], person.mouth.widths[inside])
    samples = slice(round(start_s * SPEECH_RATE_HZ), round(end_s * SPEECH_RATE_HZ))
    return Spoken(person.name, mouth, person.sound[samples])


def long_parts(people: Iterable[Spoken]) -> Iterator[Spoken]:
    """Stretches of `LONG_S` of all people who speak for as long, one beginning 2 s after the other."""
    for person in people:
        start_s = 0.0
        while start_s + LONG_S <= person.duration_s + FRAME_S:
            yield part(person, start_s, start_s + LONG_S)
            start_s += 2.0


def measure_shifts(people: list[Spoken], ears: Ears) -> None:
    """Print in how many trials a moved sound is found, by the hearing model and by loudness."""
    rows: list[tuple[bool, float, float, float]] = []
    for person in long_parts(people):
        heard, loud = ears.heard(person.sound, person.mouth)
        still = [_offset_ms(person.mouth, motion) for motion in (heard.motion, loud)]
        for shift_ms in SHIFTS_MS:
            heard, loud = ears.heard(moved(person.sound, shift_ms), person.mouth)
            found = [_offset_ms(person.mouth, motion) for motion in (heard.motion, loud)]
            known_ms = OWN_OFFSETS_MS.get(person.name, 0) - shift_ms
            rows.append(
                (
                    person.name in LEARNED_FROM,
                    abs(found[0] - known_ms),
                    abs(found[0] - still[0] + shift_ms),
                    abs(found[1] - known_ms),
                )
            )
    frame_ms = FRAME_S * 1000
    print(f"moved sounds found within {frame_ms:g} ms ({LONG_S:g} s each; offsets to {-240} and {240} ms)")
    print(f"{'':34}{'trials':>7}{'model':>8}{'moved by':>10}{'loudness':>10}")
    for name, kept in (("all", rows), ("not learned from", [row for row in rows if not row[0]])):
        shares = [sum(row[column] <= frame_ms for row in kept) / len(kept) for column in (1, 2, 3)]
        print(f"{name:34}{len(kept):7}{shares[0]:8.1%}{shares[1]:10.1%}{shares[2]:10.1%}")


def _offset_ms(mouth: Motion, wanted: Motion) -> float:
    offset_ms = agreement_of(mouth, wanted).offset_ms
    return float("inf") if offset_ms is None else float(offset_ms)


def measure_foreign(people: list[Spoken], ears: Ears) -> None:
    """Print how own speech scores beside that of all others, its own offset taken out."""
    kept = [person for person in people if person.duration_s >= 4.0]
    sounds = {person.name: ears.heard(person.sound, person.mouth) for person in kept}
    print("own and foreign speech: agreement in time, own offset taken out (people of 4 s and more)")
    print(f"{'':12}{'own median':>12}{'foreign median':>16}{'95th percentile':>17}{'foreign below own':>19}")
    for place, name in enumerate(("model", "loudness")):
        own, foreign, below = [], [], []
        for person in kept:
            mine = _in_time(person, sounds[person.name][place] if place else sounds[person.name][0].motion)
            others = [
                _in_time(person, sounds[other.name][1] if place else sounds[other.name][0].motion)
                for other in kept
                if other is not person
            ]
            own.append(mine)
            foreign += others
            below += [score < mine for score in others]
        percentile = np.percentile(foreign, 95)
        print(
            f"{name:12}{statistics.median(own):12.2f}{statistics.median(foreign):16.2f}{percentile:17.2f}"
            f"{sum(below) / len(below):19.1%}"
        )


def _in_time(person: Spoken, wanted: Motion) -> float:
    late_s = OWN_OFFSETS_MS.get(person.name, 0) / 1000
    inside = person.mouth.times_s <= wanted.times_s[-1]
    mouth = Motion(person.mouth.times_s[inside] - late_s, person.mouth.openings[inside], person.mouth.widths[inside])
    return agreement_of(mouth, wanted).in_time
