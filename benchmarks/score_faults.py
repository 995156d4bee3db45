"""Whole jobs whose generator or blender is replaced by one with a fault, and their sync scores.

No sound is in two of the sets, and no person but the one of retalking_face3 and of the first of `tested`. The form of
the score and its constants were chosen with the set `chosen` alone, the gate of .75 with `chosen` and `tested`, and
`confirmed` was run once, after that.
"""

import statistics
import tempfile
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.make_face_clip import make_face_clip
from lipsync_core.audio.load import SPEECH_RATE_HZ, SpeechReader
from lipsync_core.catalogue import JobParts, load_parts
from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import InferringHalf, Painted
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.report import JobReport
from lipsync_core.workspace import Workspace

LATE_FRAMES = 3
PAUSE_S = 2.0
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
