"""The painted lips follow the speech, as measured by a landmarker that the product does not use.

The labels come from a recogniser of English phones that takes no part in moving the mouth.
"""

import sys
from pathlib import Path

import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.models.store import ModelStore
from tests.shared_files import LANDMARKER, shared_file
from tests.thorough import first_of

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from aperture import Landmarker, LipApertures, heard_phones, lip_apertures, separation

SPEECH = "latentsync_demo1_audio.wav"
CLIPS = ("latentsync_demo1_video.mp4", "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "retalking_face3.mp4")


@pytest.fixture(scope="module", params=first_of(CLIPS, 1))
def spoken(
    request: pytest.FixtureRequest, clips: Path, model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory
) -> LipApertures:
    """The opening of the lips in a whole job on a real clip."""
    landmarker = shared_file(LANDMARKER)
    folder = tmp_path_factory.mktemp("sync")
    workspace = Workspace(models=Workspace.default().models, cache=folder)
    lip_sync(clips / request.param, clips / SPEECH, folder / "out.mp4", JobOptions(preset="ultrafast"), workspace)
    return lip_apertures(folder / "out.mp4", MediapipeTracker(model_store), Landmarker(landmarker))


def test_open_vowels_are_told_from_closures_and_silence(spoken: LipApertures, clips: Path) -> None:
    assert separation(spoken, heard_phones(clips / SPEECH)) >= 0.8  # the clips' own mouths and speech: .66 to .79


def test_the_separation_is_lost_when_the_sound_is_moved(spoken: LipApertures, clips: Path) -> None:
    phones = heard_phones(clips / SPEECH)
    moved = [separation(spoken, phones, shift_s) for shift_s in (-0.5, 0.5)]
    assert sum(moved) / 2 == pytest.approx(0.5, abs=0.1)
    assert max(moved) < 0.65
