"""A mouth behind a mask is told from a bare one, without an alarm on faces as they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.face.cover import steadily_covered
from lipsync_core.face.mediapipe import MODEL, MediapipeTracker
from lipsync_core.face.mesh import MeshFitter
from lipsync_core.media.decode import decode_frames
from lipsync_core.models.store import ModelStore
from tests.face.conftest import RATE, Picture, Track, pictures_of
from tests.face.masks import COLOURS, bearded, full_mesh, masked
from tests.shared_files import VIDEOS
from tests.thorough import first_of

FRAMES = 10


@pytest.fixture(scope="module")
def fitter(model_store: ModelStore) -> MeshFitter:
    return MeshFitter(model_store.verify(MODEL).path("face_landmark"))


@pytest.fixture
def bare(face_video: Path) -> list[Picture]:
    return pictures_of(face_video, FRAMES)


@pytest.fixture
def meshes(bare: list[Picture], tracker: MediapipeTracker, track: Track, fitter: MeshFitter) -> list[np.ndarray]:
    found = track(tracker, bare)
    return [full_mesh(picture, found, index, fitter) for index, picture in enumerate(bare)]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_mask_of_any_colour_covers_the_mouth(
    colour: str, bare: list[Picture], meshes: list[np.ndarray], tracker: MediapipeTracker, track: Track
) -> None:
    pictures = [masked(picture, mesh, COLOURS[colour]) for picture, mesh in zip(bare, meshes, strict=True)]
    found = track(tracker, pictures)
    assert found.has_face.all()
    assert found.has_covered_mouth.all()


def test_a_mask_is_seen_in_warm_and_in_dim_light(
    bare: list[Picture], meshes: list[np.ndarray], tracker: MediapipeTracker, track: Track
) -> None:
    covered = [masked(picture, mesh, COLOURS["white"]) for picture, mesh in zip(bare, meshes, strict=True)]
    for light in ((1.0, 0.85, 0.65), (0.5, 0.5, 0.5)):
        assert track(tracker, [(each * np.array(light)).astype(np.uint8) for each in covered]).has_covered_mouth.all()
        assert not track(tracker, [(each * np.array(light)).astype(np.uint8) for each in bare]).covered.any()


@pytest.mark.parametrize("clip", first_of(VIDEOS, 1))
def test_no_frame_of_a_clip_of_bare_mouths_seems_covered(clip: str, clips: Path, tracker: MediapipeTracker) -> None:
    found = tracker.track(decode_frames(clips / clip, StageClock()), StageClock())
    assert found.has_face.any()
    assert not found.covered.any()


def test_a_beard_a_shadow_and_grey_pictures_cover_no_mouth(
    bare: list[Picture], meshes: list[np.ndarray], tracker: MediapipeTracker, track: Track
) -> None:
    beards = [bearded(picture, mesh) for picture, mesh in zip(bare, meshes, strict=True)]
    height = bare[0].shape[0]
    lit_from_above = np.linspace(1.1, 0.35, height)[:, None, None]
    shadows = [np.clip(picture * lit_from_above, 0, 255).astype(np.uint8) for picture in bare]
    greys = [cv2.cvtColor(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for each in bare]
    for pictures in (beards, shadows, greys):
        found = track(tracker, pictures)
        assert found.has_face.all()
        assert not found.covered.any()


def test_a_mask_that_is_put_on_counts_from_its_first_frame(
    bare: list[Picture], meshes: list[np.ndarray], tracker: MediapipeTracker, track: Track
) -> None:
    covered = [masked(picture, mesh, COLOURS["surgical"]) for picture, mesh in zip(bare, meshes, strict=True)]
    found = track(tracker, [*bare, *covered, *bare])
    assert found.has_covered_mouth.tolist() == [False] * FRAMES + [True] * FRAMES + [False] * FRAMES


def test_single_frames_change_nothing_and_frames_without_a_face_are_not_covered() -> None:
    seen = np.zeros(60, bool)
    seen[[5, 20, 21]] = True  # too few
    seen[30:60] = True
    seen[[38, 45, 46]] = False  # too few
    sighted = np.ones(60, bool)
    sighted[50] = False
    steady = steadily_covered(seen, sighted, np.arange(60) / RATE)
    assert np.flatnonzero(steady).tolist() == [*range(30, 50), *range(51, 60)]
    assert not steadily_covered(np.zeros(0, bool), np.zeros(0, bool), np.zeros(0)).any()
