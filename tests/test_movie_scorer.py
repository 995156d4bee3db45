"""The score of whole jobs: a good one passes the gate, and a mouth that does not move fails it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.catalogue import JobParts, load_parts
from lipsync_core.errors import ModelMissingError, QualityError
from lipsync_core.generators.contract import Painted
from lipsync_core.models.store import ModelStore
from lipsync_core.score.meter import frames_to_measure
from tests.sounds import write_sound

SHORT = JobOptions(model="viseme", preset="ultrafast", end_s=Fraction(4), min_score=0.8)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenGenerator:
    """A generator whose mouth stays as it is in the first frame."""

    healthy: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.healthy, name)

    def infer(self, crops: Iterable[Any] | None, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.repeat(self.healthy.infer(crops, conditions)[:1], len(conditions), axis=0)


class SteppedBlender:
    """A blender whose pixels are 6 levels too bright, up to the last one of the mask."""

    name = "stepped"

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        composite = FeatherBlender().blend(region, painted)
        brighter = np.clip(composite + np.int16(6), 0, 255).astype(np.uint8)
        return np.where(painted.mask[..., np.newaxis] > 0, brighter, composite)


@pytest.fixture(scope="module")
def parts(model_store: ModelStore) -> JobParts:
    return load_parts(SHORT, model_store)


@pytest.fixture(scope="module")
def place(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(models=Workspace.default().models, cache=tmp_path_factory.mktemp("cache"))


def test_a_good_movie_passes(
    face_clip: Path, speech_wav: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", SHORT, place, parts=parts)
    score = report.scoring.score
    assert score is not None and score.score >= 0.8
    assert score.judged_by == "asked"
    assert score.asked is not None and score.asked.offset_ms is not None and abs(score.asked.offset_ms) <= 40
    assert score.closures is not None and score.closures.share > 0.5
    assert report.frames.synced / 4 < score.frames < report.frames.synced / 2
    assert {stage.stage: stage.items for stage in report.stages}["score"] == score.frames
    pictures = report.scoring.pictures
    assert pictures is not None
    assert pictures.faults == ()
    assert pictures.seam.typical <= pictures.seam.worst < 1.5


def test_a_mouth_that_does_not_move_fails_and_leaves_the_output_as_it_was(
    face_clip: Path, speech_wav: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    frozen = FrozenGenerator(parts.inference.generator)
    faulty = replace(parts, inference=replace(parts.inference, generator=frozen))
    output = tmp_path / "out.mp4"
    output.write_bytes(b"an older result")
    with pytest.raises(QualityError, match=r"sync score 0\.0"):
        lip_sync(face_clip, speech_wav, output, SHORT, place, parts=faulty)
    assert output.read_bytes() == b"an older result"
    assert list(tmp_path.iterdir()) == [output]


def test_a_seam_fails_the_gate_and_is_told_without_one(
    face_clip: Path, speech_wav: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    faulty = replace(parts, rendering=replace(parts.rendering, blender=SteppedBlender()))
    gated = replace(SHORT, end_s=Fraction(5, 2), min_score=0.1)
    with pytest.raises(QualityError, match=r"picture faulty \(seam\): seam [567]\.\d levels from"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", gated, place, parts=faulty)
    assert not list(tmp_path.iterdir())
    told = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(gated, min_score=0.0), place, parts=faulty)
    assert told.scoring.pictures is not None and told.scoring.pictures.faults == ("seam",)


def test_a_job_fails_before_its_movie_when_a_model_that_scores_is_missing(
    face_clip: Path, speech_wav: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    bare = replace(place, models=tmp_path / "models")
    second = replace(SHORT, end_s=Fraction(1))
    with pytest.raises(ModelMissingError, match="mediapipe-face"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", second, bare, parts=parts)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(second, min_score=0.0), bare, parts=parts)
    assert report.scoring.score is None
    assert "mediapipe-face" in report.scoring.account


def test_every_third_frame_is_measured_and_one_of_every_closure() -> None:
    closures = np.zeros(90)
    closures[[4, 5, 8, 9, 13, 14]] = 1.0
    is_synced = np.ones(90, np.bool_)
    is_synced[6] = False
    measured = np.flatnonzero(frames_to_measure(is_synced, closures, 25))
    assert measured.tolist() == [0, 3, 4, 9, 12, 13, *range(15, 90, 3)]


def test_of_a_short_movie_all_frames_are_measured() -> None:
    assert frames_to_measure(np.ones(40, np.bool_), np.zeros(40), 25).all()


def test_a_movie_of_a_few_frames_has_no_score_and_passes(
    face_clip: Path, speech_wav: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    report = lip_sync(
        face_clip, speech_wav, tmp_path / "out.mp4", replace(SHORT, end_s=Fraction(1, 5)), place, parts=parts
    )
    assert report.scoring.account == "none: fewer than 10 frames have a new mouth"


def test_a_mouth_that_rests_under_silence_is_good(
    face_clip: Path, parts: JobParts, place: Workspace, tmp_path: Path
) -> None:
    silence = write_sound(tmp_path / "silence.wav", "pcm_s16le", 16_000, np.zeros((24_000, 1), np.int16))
    report = lip_sync(face_clip, silence, tmp_path / "out.mp4", replace(SHORT, end_s=None), place, parts=parts)
    assert report.scoring.score is not None and report.scoring.score.score == 1.0
