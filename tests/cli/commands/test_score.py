"""`lipsync score` on a movie that the product has made, and under a sound that comes late."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.models.store import ModelStore
from tests.cli.conftest import RunLipSync
from tests.conftest import MakeVideo
from tests.sounds import read_speech

_RATE_HZ = 16_000


def write_late(path: Path, late_s: float) -> Path:
    """The demo's speech, later."""
    samples = np.concatenate([np.zeros(round(late_s * _RATE_HZ), np.int16), read_speech(5.0)])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(samples.tobytes())
    return path


def test_a_movie_is_in_time_with_its_own_sound_and_early_for_a_late_one(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    options = JobOptions(model="viseme", preset="ultrafast", end_s=Fraction(4), provenance=False)
    lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, workspace)
    own = lipsync_here("score", "out.mp4", "--json", "--quiet")
    late = lipsync_here("score", "out.mp4", write_late(tmp_path / "late.wav", 0.2), "--json", "--quiet")
    assert (own.returncode, late.returncode) == (0, 0), own.stderr + late.stderr
    fields, late_fields = json.loads(own.stdout), json.loads(late.stdout)
    assert fields["schema"] == "lipsync.score/1"
    assert fields["score"]["judged_by"] == "heard"
    assert abs(fields["score"]["heard"]["offset_ms"]) <= 40
    assert abs(late_fields["score"]["heard"]["offset_ms"] + 200) <= 40
    assert late_fields["score"]["score"] < 0.5 < fields["score"]["score"]
    worst = fields["score"]["worst"]
    assert 0 <= worst["first_frame"] < worst["last_frame"] < fields["frames"]


def test_a_video_without_a_face_fails(
    make_video: MakeVideo, speech_wav: Path, lipsync_here: RunLipSync, model_store: ModelStore
) -> None:
    done = lipsync_here("score", make_video(), speech_wav)
    assert done.returncode == 4
    assert "NO_FACE" in done.stderr
