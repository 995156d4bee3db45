"""The task `check` of a job: its warnings are shown, recorded, and stop a strict job."""

import logging
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_core import JobOptions
from lipsync_core.errors import ModelMissingError
from lipsync_core.models.store import ModelStore
from lipsync_core.preflight.check import Preflight
from lipsync_service.settings import Settings
from tasks import artifacts
from tasks.artifacts import show_preflight
from tasks.job import JobInputs
from tasks.opening import open_job
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
    settings: MakeSettings, video: Path, audio: Path, models: ModelStore, *, is_required: bool
) -> Preflight | None:
    made = settings(file_roots=(video.parent, audio.parent))
    with open_job(JobOptions(), made) as opened:
        job = replace(opened, models=models)
        inputs = JobInputs(fetch_video.fn(job, video.as_uri()), fetch_audio.fn(job, audio.as_uri()))
        found = check.fn(job, inputs, is_required=is_required)
        assert job.log.runs[-1].stage == "check"
    return found


def test_the_warnings_of_a_job_are_a_table_of_its_run(
    settings: MakeSettings,
    face_clip: Path,
    silence: Path,
    model_store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables: dict[str, list[dict[str, Any]]] = {}
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda table, key, description: tables.update({key: table}))
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: logging.getLogger("run"))
    found = checked(settings, face_clip, silence, model_store, is_required=True)
    assert found is not None
    show_preflight(found)
    assert [(row["code"], row["kind"]) for row in tables["preflight"]] == [("AUDIO_SILENT", "warning")]
    assert "preflight AUDIO_SILENT: " in caplog.text


def test_a_job_without_warnings_has_no_table(
    settings: MakeSettings,
    face_clip: Path,
    speech_wav: Path,
    model_store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda table, key, description: made.append(key))
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: logging.getLogger("run"))
    found = checked(settings, face_clip, speech_wav, model_store, is_required=False)
    assert found is not None
    show_preflight(replace(found, found=found.warnings))
    assert (found.warnings, made) == ((), [])


def test_a_worker_without_models_checks_nothing_unless_it_has_to(
    settings: MakeSettings, face_clip: Path, silence: Path, tmp_path: Path
) -> None:
    none = ModelStore(tmp_path / "none")
    assert checked(settings, face_clip, silence, none, is_required=False) is None
    with pytest.raises(ModelMissingError):
        checked(settings, face_clip, silence, none, is_required=True)
