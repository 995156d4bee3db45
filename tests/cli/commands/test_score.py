"""`lipsync score` on a movie that the product has made, and under a sound that comes late."""

import json
import shutil
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from demo.make_face_clip import make_face_clip
from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.models.store import ModelStore
from tests.cli.conftest import RunLipSync
from tests.conftest import MakeVideo
from tests.sounds import read_speech
from tests.syncnet_network import write_syncnet_network

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


@pytest.fixture
def home(model_store: ModelStore, tmp_path: Path) -> Path:
    """A home with the models that a score needs."""
    for name in ("mediapipe-face", "speech-encoder"):
        shutil.copytree(model_store.root / name, tmp_path / "home" / "models" / name)
    return tmp_path / "home"


def test_an_imported_syncnet_measures_as_well(
    speech_wav: Path, home: Path, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    network = write_syncnet_network(tmp_path / "own.onnx")
    make_face_clip(tmp_path / "face.mp4", frames=105, size=(480, 480), rate=25)
    score = ("score", "face.mp4", speech_wav, "--home", home, "--quiet", "--json")
    before = json.loads(lipsync_here(*score).stdout)
    imported = lipsync_here("models", "import", network, "--as", "syncnet", "--accept-licence", "--home", home)
    assert imported.returncode == 0, imported.stderr
    fields = json.loads(lipsync_here(*score).stdout)
    syncnet = fields.pop("syncnet")
    assert fields == before  # which has no such field
    assert syncnet["reason"] == ""
    assert syncnet["figures"]["windows"] == 100  # of 105 pictures
    assert syncnet["figures"]["lse_d"] > syncnet["figures"]["lse_c"] > 0
    assert abs(syncnet["figures"]["offset_ms"]) <= 600


def test_score_fails_when_syncnet_is_damaged(
    face_clip: Path, home: Path, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    network = write_syncnet_network(tmp_path / "own.onnx")
    assert not lipsync_here(
        "models", "import", network, "--as", "syncnet", "--accept-licence", "--home", home
    ).returncode
    installed = home / "models" / "syncnet" / "syncnet.onnx"
    installed.write_bytes(installed.read_bytes()[:-9])
    done = lipsync_here("score", face_clip, "--home", home)
    assert done.returncode == 6
    assert "MODEL_CORRUPT" in done.stderr and "lipsync models pull syncnet" in done.stderr


def test_the_help_says_how_to_get_syncnet(lipsync_here: RunLipSync) -> None:
    words = " ".join(lipsync_here("score", "--help").stdout.split())
    assert "lipsync models import PATH --as syncnet" in words
