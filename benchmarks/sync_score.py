"""Measures the sync score: offsets of real speech, other people's speech, and faults that the gate should catch.

    python benchmarks/sync_score.py speech MOUTHS     # a folder of measured mouths with their sound (docs/score.md)
    python benchmarks/sync_score.py faults CLIPS MOUTHS --set chosen|tested|confirmed
    python benchmarks/sync_score.py cost CLIPS

`faults` runs whole jobs whose generator or blender is replaced by one with a fault. No person and no sound is in two of
the sets. The form of the score and its constants were chosen with the set `chosen` alone, the gate of .75 with `chosen`
and `tested`, and `confirmed` was run once, after that.
"""

import argparse
import statistics
import tempfile
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.make_face_clip import make_face_clip
from lipsync_core import pipeline
from lipsync_core.audio.load import SPEECH_RATE_HZ, SpeechReader
from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.catalogue import JobParts, load_parts
from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import InferringHalf, Painted
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.report import JobReport
from lipsync_core.score.agreement import agreement_of
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.motion import FRAME_S, Motion, WantedMouth, wanted_mouth
from lipsync_core.score_figures import Scoring
from lipsync_core.threads import no_thread_pools
from lipsync_core.workspace import Workspace

SHIFTS_MS = (-240, -160, -80, 80, 160, 240)
LONG_S = 6.0
LATE_FRAMES = 3
PAUSE_S = 2.0
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
DEMO = "demo"  # its portrait, moving, and its speech
SETS = {
    "chosen": (
        ("latentsync_demo1_video.mp4", "retalking_face3.mp4", "liveportrait_s20.mp4"),
        ("sadtalker_imagine.wav", "mv2", "d20"),
    ),
    "tested": (
        (
            "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
            "retalking_face1.mp4",
            "liveportrait_d3.mp4",
            "liveportrait_s13.mp4",
        ),
        ("latentsync_demo1_audio.wav", "retalking_audio1.wav", "obama", "mead_W040", "rt4", "pose2"),
    ),
    "confirmed": (
        (DEMO,),
        (DEMO, "mv4", "mv1", "vidtimit", "grid_sbia1a", "mead_M026"),
    ),
}
FAULTS = ("frozen", "shut", "late", "restless", "wrong person", "frozen for 2 s")
_OPTIONS = JobOptions(model="viseme", preset="ultrafast", max_size=(480, 480), provenance=False)
_LONGEST_S = 8.0
_DEMO = Path(__file__).resolve().parents[1] / "demo"


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


class FaultyGenerator:
    """A generator whose edits have a fault; see `FAULTS`."""

    def __init__(self, healthy: InferringHalf, fault: str) -> None:
        self._healthy = healthy
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._healthy, name)

    def infer(self, crops: Any, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The edits of the healthy generator, with the fault."""
        return with_fault(self._healthy.infer(crops, conditions), self._fault)


class UntouchedBlender:
    """Leaves the followed face as it is, as where another person's mouth was painted."""

    name = "untouched"

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        """A copy of the region."""
        return region.copy()


def with_fault(edits: NDArray[np.float32], fault: str) -> NDArray[np.float32]:
    """The (M, len(Curve)) edits of a job, with a fault."""
    if fault == "frozen":
        return np.repeat(edits[np.argsort(edits[:, Curve.JAW])[len(edits) * 3 // 4]][np.newaxis], len(edits), axis=0)
    if fault == "shut":
        return np.zeros_like(edits)
    if fault == "late":
        return np.concatenate([np.repeat(edits[:1], LATE_FRAMES, axis=0), edits[:-LATE_FRAMES]])
    faulty = edits.copy()
    if fault == "restless":
        rests = edits[:, Curve.JAW] < 0.02
        faulty[rests, Curve.JAW] = (0.5 * np.sin(np.arange(len(edits)) * 0.9) ** 2)[rests]
    if fault == "frozen for 2 s":
        middle = len(edits) // 2
        faulty[middle - 25 : middle + 25] = edits[middle - 25]
    return faulty


def read_sound(name: str, clips: Path, mouths: Path) -> NDArray[np.int16]:
    """(N,) 16 kHz mono, `_LONGEST_S` at most, of a sound file or of a measured person."""
    if name == DEMO:
        sound = np.concatenate(list(SpeechReader(_DEMO / "speech.wav", StageClock())))
    elif name.endswith(".wav"):
        sound = np.concatenate(list(SpeechReader(clips / name, StageClock())))
    else:
        with np.load(mouths / f"{name}.npz") as arrays:
            sound = arrays["audio"]
    return sound[: round(_LONGEST_S * SPEECH_RATE_HZ)]


def made_portrait(folder: Path) -> Path:
    """The demo's moving portrait, made once."""
    path = folder / "portrait.mp4"
    if not path.exists():
        make_face_clip(path, frames=125, size=(640, 360), rate=25)
    return path


def with_pause(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """The sound with `PAUSE_S` of silence in its middle."""
    middle = len(sound) // 2
    return np.concatenate([sound[:middle], np.zeros(round(PAUSE_S * SPEECH_RATE_HZ), np.int16), sound[middle:]])


def write_wav(path: Path, sound: NDArray[np.int16]) -> Path:
    """Write 16 kHz mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE_HZ)
        file.writeframes(sound.astype("<i2").tobytes())
    return path


def faulty_parts(parts: JobParts, fault: str) -> JobParts:
    """The parts of a job with a fault."""
    if fault == "wrong person":
        return replace(parts, rendering=replace(parts.rendering, blender=UntouchedBlender()))
    generator: Any = FaultyGenerator(parts.inference.generator, fault)
    return replace(parts, inference=replace(parts.inference, generator=generator))


def measure_faults(clips: Path, mouths: Path, chosen: str) -> None:
    """Print the scores of good movies and of those with a fault, and what thresholds make of them."""
    parts = load_parts(_OPTIONS, ModelStore(Workspace.default().models))
    scores: dict[str, list[JobReport]] = {name: [] for name in ("good", "good, with a pause", *FAULTS)}
    videos, sounds = SETS[chosen]
    with tempfile.TemporaryDirectory() as folder:
        for name in sounds:
            sound = read_sound(name, clips, mouths)
            plain = write_wav(Path(folder) / "plain.wav", sound)
            paused = write_wav(Path(folder) / "paused.wav", with_pause(sound))
            for video in videos:
                source = made_portrait(Path(folder)) if video == DEMO else clips / video
                for case, reports in scores.items():
                    audio = paused if case in ("restless", "good, with a pause") else plain
                    used = parts if case.startswith("good") else faulty_parts(parts, case)
                    report = lip_sync(source, audio, Path(folder) / "out.mp4", _OPTIONS, parts=used)
                    reports.append(report)
                    print(
                        f"{video[:24]:26}{name[:22]:24}{case:20}{report.scoring.account}; {figures(report)}", flush=True
                    )
    print_faults(scores)


def figures(report: JobReport) -> str:
    """The figures behind a score, in short."""
    score = report.scoring.score
    if score is None or score.asked is None:
        return "no score"
    worst = "none" if score.worst is None else f"{score.worst.agreement:.2f}"
    silence = "none" if score.silence is None else f"{score.silence.movement:.2f}"
    met = "none" if score.closures is None else f"{score.closures.seen}/{score.closures.asked}"
    return f"in time {score.asked.in_time:.2f}, worst {worst}, pauses {silence}, closures {met}"


def print_faults(scores: dict[str, list[JobReport]]) -> None:
    """Print the distribution of each case, and the share below each threshold."""
    thresholds = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85)
    print(f"{'':20}{'movies':>7}{'lowest':>8}{'median':>8}{'highest':>9}{'offset 0±40':>13}" + _shares_head(thresholds))
    for case, reports in scores.items():
        found = [report.scoring.score for report in reports if report.scoring.score is not None]
        values = [score.score for score in found]
        offsets = [score.heard.offset_ms for score in found if score.heard is not None]
        in_time = sum(offset is not None and abs(offset) <= 40 for offset in offsets) / len(offsets)
        below = "".join(f"{sum(value < limit for value in values) / len(values):8.0%}" for limit in thresholds)
        print(
            f"{case:20}{len(values):7}{min(values):8.2f}{statistics.median(values):8.2f}{max(values):9.2f}"
            f"{in_time:13.0%}{below}"
        )


def _shares_head(thresholds: tuple[float, ...]) -> str:
    return "".join(f"{f'<{limit:g}':>8}" for limit in thresholds)


def measure_cost(clips: Path, rounds: int = 3) -> None:
    """Print the CPU seconds of jobs with a score and without, alternately, and those of the stage alone."""
    with_score = pipeline.open_scorer
    print(f"{'':28}{'track':>8}{'without s':>11}{'with s':>9}{'ratio':>8}{'stage s':>9}{'of without':>12}")
    for video in ("sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "retalking_face3.mp4", "latentsync_demo1_video.mp4"):
        for track in ("stored", "made"):
            reports: dict[bool, list[JobReport]] = {False: [], True: []}
            for _ in range(rounds):
                for scored in (False, True):
                    pipeline.open_scorer = with_score if scored else lambda *_: Scoring(reason="left out")
                    reports[scored].append(usual_job(clips, video, track == "made"))
            pipeline.open_scorer = with_score
            without_s, with_s = (
                statistics.median(report.cpu_s for report in reports[scored]) for scored in (False, True)
            )
            stage_s = statistics.median(score_cpu_s(report) for report in reports[True])
            figures_shown = (
                f"{without_s:11.2f}{with_s:9.2f}{with_s / without_s:8.3f}{stage_s:9.2f}{stage_s / without_s:12.1%}"
            )
            print(f"{video[:26]:28}{track:>8}{figures_shown}", flush=True)


def score_cpu_s(report: JobReport) -> float:
    """The CPU time of the stage that measures and judges."""
    return sum(row.cpu_s for row in report.stages if row.stage == "score")


def usual_job(clips: Path, video: str, is_track_made: bool) -> JobReport:
    """A job with the usual options."""
    workspace = Workspace.default()
    with tempfile.TemporaryDirectory() as folder:
        if is_track_made:
            workspace = replace(workspace, cache=Path(folder))
        audio, out = clips / "latentsync_demo1_audio.wav", Path(folder) / "out.mp4"
        return lip_sync(clips / video, audio, out, JobOptions(model="viseme"), workspace)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speech", "faults", "cost"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--set", choices=tuple(SETS), default="tested", dest="chosen")
    options = parser.parse_args()
    with no_thread_pools():
        if options.what == "speech":
            people, ears = read_mouths(options.folders[0]), Ears()
            measure_shifts(people, ears)
            measure_foreign(people, ears)
        elif options.what == "faults":
            measure_faults(*options.folders, options.chosen)
        else:
            measure_cost(options.folders[0])


if __name__ == "__main__":
    main()
