"""The task `check` of a job: its warnings are shown, recorded, and stop a strict job."""

import base64
import logging
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_core import JobOptions
from lipsync_core.errors import ModelMissingError
from lipsync_core.models.store import ModelStore
from lipsync_service.settings import Settings
from tasks import artifacts
from tasks.artifacts import show_preflight
from tasks.checking import CheckedInputs
from tasks.job import JobInputs
from tasks.opening import open_job
from tasks.preview import MAX_SHEET_BYTES
from tasks.stages import check, fetch_audio, fetch_video

MakeSettings = Callable[..., Settings]


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    return path


def checked(
    settings: MakeSettings, video: Path, audio: Path, models: ModelStore, *, is_required: bool, is_shown: bool = True
) -> CheckedInputs | None:
    made = settings(file_roots=(video.parent, audio.parent))
    with open_job(JobOptions(), made) as opened:
        job = replace(opened, models=models)
        inputs = JobInputs(fetch_video.fn(job, video.as_uri()), fetch_audio.fn(job, audio.as_uri()))
        found = check.fn(job, inputs, is_required=is_required, is_shown=is_shown)
        run = job.log.runs[-1]
        assert run.stage == "check"
        if found is not None:  # its costs are known
            assert {part.stage for part in run.parts} >= {"audio", "decode", "look"} and run.cpu_s > 0
            assert run.items == len(found.preflight.picture.frames)
    return found


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The texts that a run has shown in Prefect's UI, by their keys."""
    texts: dict[str, str] = {}
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda text, key, description: texts.update({key: text}))
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: logging.getLogger("run"))
    return texts


def test_the_warnings_of_a_job_are_shown_with_frames_in_which_the_face_is_marked(
    settings: MakeSettings,
    face_clip: Path,
    silence: Path,
    model_store: ModelStore,
    shown: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = checked(settings, face_clip, silence, model_store, is_required=True)
    assert found is not None
    show_preflight(found)
    text, _, picture = shown["preflight"].partition("](data:image/jpeg;base64,")
    assert text.startswith("**AUDIO_SILENT** (warning): nothing can be heard")
    assert "*What to do:* give another sound" in text
    assert "preflight AUDIO_SILENT: " in caplog.text
    jpeg = base64.b64decode(picture.removesuffix(")"))
    assert 10_000 < len(jpeg) <= MAX_SHEET_BYTES
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    assert ((green > 160) & (green > red + 80) & (green > blue + 80)).sum() > 200  # the box of the face to sync


def test_a_service_that_shows_no_frames_shows_the_warnings_alone(
    settings: MakeSettings, face_clip: Path, silence: Path, model_store: ModelStore, shown: dict[str, str]
) -> None:
    found = checked(settings, face_clip, silence, model_store, is_required=False, is_shown=False)
    assert found is not None and found.sheet is None
    show_preflight(found)
    assert "AUDIO_SILENT" in shown["preflight"] and "data:image" not in shown["preflight"]


def test_a_job_without_warnings_shows_nothing(
    settings: MakeSettings, face_clip: Path, speech_wav: Path, model_store: ModelStore, shown: dict[str, str]
) -> None:
    found = checked(settings, face_clip, speech_wav, model_store, is_required=False)
    assert found is not None
    show_preflight(replace(found, preflight=replace(found.preflight, found=found.preflight.warnings)))
    assert (found.preflight.warnings, shown) == ((), {})


def test_a_worker_without_models_checks_nothing_unless_it_has_to(
    settings: MakeSettings, face_clip: Path, silence: Path, tmp_path: Path
) -> None:
    none = ModelStore(tmp_path / "none")
    assert checked(settings, face_clip, silence, none, is_required=False) is None
    with pytest.raises(ModelMissingError):
        checked(settings, face_clip, silence, none, is_required=True)
