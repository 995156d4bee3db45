"""Measures how well the painted lips open and close with the speech.

Three real clips are made to speak a foreign recording, and an independent landmarker measures the distance of
the lips. The table shows how surely this distance tells the open vowels (AA AE AH AO AY AW) from P, B, M and
silence (area under the ROC curve: 1 is certain, 0.5 is chance), the same with the sound moved by half a second
either way, and the lag of the lips in frames. For comparison it shows the same figures of the original clips,
in which the people speak for themselves.

The labels come from a recogniser of English phones, which takes no part in moving the mouth and is not always right:
so the clips' own figures, where real lips follow real speech, say what the painted ones are to be compared with.

    python benchmarks/sync_quality.py [--clips FOLDER --landmarker MODEL.onnx]
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from aperture import Landmarker, LipApertures, best_lag_s, heard_phones, lip_apertures, separation

from lipsync_core.audio.load import SpeechReader
from lipsync_core.catalogue import load_tracking
from lipsync_core.clock import StageClock
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests import shared_files

CLIPS = ("latentsync_demo1_video.mp4", "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "retalking_face3.mp4")
SPEECH = "latentsync_demo1_audio.wav"
SHIFT_S = 0.5
_ROW = "{:<46}{:<10}{:>6}{:>9}{:>9}{:>7}{:>7}{:>7}"


@dataclass(frozen=True, slots=True)
class SyncFigures:
    """The figures of one video and the speech that it is made to speak."""

    auc: float
    auc_early: float  # with the sound moved to earlier by SHIFT_S
    auc_late: float
    lag_frames: int  # of the lips behind the intended jaw curve
    correlation: float  # with that curve, without lag
    aperture_p95: float  # as a share of the mouth's width


@dataclass(frozen=True, slots=True)
class Bench:
    """The tracker, the generator that hears, and the landmarker, shared by all measurements."""

    tracker: FaceTracker
    generator: VisemeGenerator
    landmarker: Landmarker

    def measure(self, video: Path, audio: Path) -> SyncFigures:
        """Measure `video` against the sound of `audio`."""
        apertures = lip_apertures(video, self.tracker, self.landmarker)
        phones = heard_phones(audio)
        curves = self.generator.listen(SpeechReader(audio, StageClock()))
        jaw = curves.at(apertures.middles_s)[:, Curve.JAW].astype(np.float64)
        frame_s = float(np.median(np.diff(apertures.middles_s)))
        return SyncFigures(
            auc=separation(apertures, phones),
            auc_early=separation(apertures, phones, -SHIFT_S),
            auc_late=separation(apertures, phones, SHIFT_S),
            lag_frames=round(best_lag_s(apertures, jaw) / frame_s),
            correlation=_correlation(apertures, jaw),
            aperture_p95=float(np.nanpercentile(apertures.values, 95)),
        )


def _correlation(apertures: LipApertures, jaw: np.ndarray) -> float:
    is_measured = np.isfinite(apertures.values)
    return float(np.corrcoef(apertures.values[is_measured], jaw[is_measured])[0, 1])


def _print_row(clip: str, speech: str, figures: SyncFigures) -> None:
    numbers = (figures.auc, figures.auc_early, figures.auc_late)
    rest = (f"{figures.lag_frames:+d}", f"{figures.correlation:.2f}", f"{figures.aperture_p95:.2f}")
    print(_ROW.format(clip, speech, *(f"{number:.2f}" for number in numbers), *rest), flush=True)


def main() -> int:
    """Read the command line, run, print the table."""
    parser = argparse.ArgumentParser(description="Measure how well painted lips follow the speech.")
    parser.add_argument("--clips", type=Path, default=shared_files.CLIPS)
    parser.add_argument("--landmarker", type=Path, default=shared_files.LANDMARKER)
    options = parser.parse_args()
    if not (options.clips / SPEECH).is_file() or not options.landmarker.is_file():
        print(f"sync_quality: skipped, {options.clips} or {options.landmarker} is absent; see tests/README.md")
        return 0
    cv2.setNumThreads(1)
    models = Workspace.default().models
    store = ModelStore(models)
    bench = Bench(load_tracking(JobOptions(), store), VisemeGenerator.open(store), Landmarker(options.landmarker))
    print(_ROW.format("clip", "speaks", "AUC", "-0.5 s", "+0.5 s", "lag", "corr", "p95"))
    with tempfile.TemporaryDirectory() as folder:
        for name in CLIPS:
            out = Path(folder) / name
            lip_sync(options.clips / name, options.clips / SPEECH, out, workspace=Workspace(models, Path(folder)))
            _print_row(name, "painted", bench.measure(out, options.clips / SPEECH))
            _print_row(name, "itself", bench.measure(options.clips / name, options.clips / name))
    print("AUC: open vowels against P, B, M and silence, by the lips' opening; lag in frames, behind the jaw curve.")
    print("Where the correlation is low the lag means nothing: people's lips do not follow their loudness closely.")
    print("The labels come from a recogniser of English phones that takes no part in moving the mouth.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
