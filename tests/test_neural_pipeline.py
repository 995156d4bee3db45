"""Whole jobs through the neural path, with seeded weights: the mouth is noise, everything around it must hold."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.models.store import ModelStore
from tests.jobs import reopened
from tests.wav2lip_weights import imported_wav2lip, needs_golden, needs_torch

SECOND = Fraction(1)
WAV2LIP = JobOptions(model="wav2lip", end_s=SECOND)
#: A quarter of what the public implementation holds at most on a quiet machine with 2 cores (2.85 GB).
MOST_BYTES = 712_000_000


def home_with(network: Path, folder: Path) -> Workspace:
    """The user's face models, and `network` as `wav2lip`, its licence accepted."""
    workspace = Workspace.below(folder)
    shutil.copytree(Workspace.default().models, workspace.models)
    ModelStore(workspace.models).import_file("wav2lip", network, accept_licence=True)
    return workspace


@pytest.fixture(scope="module")
def seeded(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    network = imported_wav2lip(tmp_path_factory.getbasetemp())
    return home_with(network, tmp_path_factory.mktemp("home"))


@pytest.fixture
def speech(clips: Path) -> Path:
    return clips / "retalking_audio1.wav"


@needs_golden
@needs_torch
@pytest.mark.parametrize(
    ("name", "frames"),
    [("retalking_face3.mp4", 25), ("latentsync_demo1_video.mp4", 25), ("liveportrait_d3.mp4", 30)],
)
def test_a_job_speaks_with_wav2lip(
    name: str, frames: int, clips: Path, speech: Path, seeded: Workspace, tmp_path: Path
) -> None:
    report = lip_sync(clips / name, speech, tmp_path / "out.mp4", WAV2LIP, seeded)
    movie = reopened(tmp_path / "out.mp4")
    assert (report.model, report.blender) == ("wav2lip/1", "poisson")
    assert report.frames.synced == report.frames.total == len(movie.times_s) == frames
    assert abs(movie.audio_s - movie.duration_s) <= Fraction(1, 20)
    assert {stage.stage: stage.items for stage in report.stages}["infer"] == frames
