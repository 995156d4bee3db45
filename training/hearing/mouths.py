"""Measures clips of people who speak for themselves: what the speech encoder hears, and what their mouths do.

    python -m training.hearing.mouths CLIPS OUT

CLIPS holds videos with their own sound and `sources.csv` (columns file, person, language, seconds, source, licence,
grade, sound_shift_s). OUT gets `FILE~0.npz` with the arrays of
`MeasuredClip`, and `FILE~1.npz` ... for its sound in other voices (`variants`). Both networks are the product's own
(models `speech-encoder` and `mediapipe-face`). A clip that OUT holds already is not measured again.
"""

import csv
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SpeechReader
from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder
from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import rows
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.decode import decode_frames
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from training.hearing.records import ArrayRecord
from training.hearing.variants import SPEEDS, variant

_log = logging.getLogger(__name__)

#: Pairs of mesh points whose distances are measured: inner-lip gap, mouth width, outer lip height, nose base to chin.
_PAIRS = ((13, 14), (61, 291), (0, 17), (2, 152))
_EYES = (33, 263)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredClip(ArrayRecord):
    """What was heard and seen in one clip."""

    person: str
    language: str
    licence: str
    grade: str  # A: the licence is stated and allows commercial use; B: it needs a lawyer's word
    rows: NDArray[np.float16]  # (N, 2, 384) of the speech encoder, 50 Hz
    level_db: NDArray[np.float32]  # (M,) 100 Hz
    middle_s: NDArray[np.float64]  # (F,) the frames' middles, on the clock of the sound
    mesh: NDArray[np.float64]  # (F, 4) gap, width, outer height, chin distance, over the outer eye distance


def mouth_of(track: FaceTrack) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middles (F,) in seconds and the measurements (F, 4) of the frames that show a face."""
    starts = track.frame_pts * float(track.time_base)
    ends = np.append(starts[1:], starts[-1] + track.last_duration * float(track.time_base))
    points = track.landmarks[track.has_face][:, :, :2].astype(np.float64)  # (F, K, 2)

    def distance(pair: tuple[int, int]) -> NDArray[np.float64]:
        first, second = rows(pair)
        apart: NDArray[np.float64] = np.linalg.norm(points[:, first] - points[:, second], axis=1)
        return apart

    eyes = distance(_EYES)
    mesh = np.stack([distance(pair) / eyes for pair in _PAIRS], axis=1)
    return ((starts + ends) / 2)[track.has_face], mesh


def measure(
    path: Path, row: dict[str, str], encoder: SpeechEncoder, tracker: MediapipeTracker
) -> Iterator[MeasuredClip]:
    """Hear and see one clip, then hear its variants; `row` is its line of `sources.csv`."""
    speech = np.concatenate(list(SpeechReader(path, StageClock())))
    middle_s, mesh = mouth_of(tracker.track(decode_frames(path, StageClock()), StageClock()))
    middle_s = middle_s - float(row["sound_shift_s"])
    about = (row["person"], row["language"], row["licence"], row["grade"])
    random = np.random.default_rng(crc32(path.name.encode()))
    yield MeasuredClip(*about, *_heard(speech, encoder), middle_s, mesh)
    for speed in SPEEDS:
        voice, faster = variant(speech, speed, random)
        yield MeasuredClip(*about, *_heard(voice, encoder), middle_s / faster, mesh)


def _heard(speech: NDArray[np.int16], encoder: SpeechEncoder) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    meter = LevelMeter()
    rows = np.concatenate(list(encoder.encode(meter.measure([speech]))))
    return rows.astype(np.float16), meter.levels().level_db


def main(clips: Path, out: Path) -> None:
    """Measure each clip that `sources.csv` names."""
    out.mkdir(parents=True, exist_ok=True)
    models = ModelStore(Workspace.default().models)
    encoder = SpeechEncoder.open(models.open_usable(MODEL).path("encoder"))
    tracker = MediapipeTracker(models)
    with (clips / "sources.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            last = out / f"{row['file']}~{len(SPEEDS)}.npz"
            if last.exists() or not (clips / row["file"]).exists():
                continue
            for index, measured in enumerate(measure(clips / row["file"], row, encoder, tracker)):
                measured.save(out / f"{row['file']}~{index}.npz")
            _log.info("%s", row["file"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
