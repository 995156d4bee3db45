"""The clip's own inner mouth is borrowed from frames that show one."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import TrackedFace
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.models.store import ModelStore

FRAMES = 6


class Onlooker:
    """Keeps the frames and faces that it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[SourceFrame, TrackedFace]] = []

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        self.seen.append((frame, face))

    def findings(self) -> dict[str, np.ndarray]:
        return {}


@pytest.fixture
def seen(face_video: Path, model_store: ModelStore) -> list[tuple[SourceFrame, TrackedFace]]:
    onlooker = Onlooker()
    frames = [frame for frame, _ in zip(decode_frames(face_video, StageClock()), range(FRAMES), strict=False)]
    MediapipeTracker(model_store).track(frames, StageClock(), onlooker)
    return onlooker.seen


def findings_of(seen: list[tuple[SourceFrame, TrackedFace]], covered: set[int]) -> dict[str, np.ndarray]:
    observer = MouthObserver()
    for index, (frame, face) in enumerate(seen):
        observer.observe(frame, replace(face, is_covered=index in covered))
    return observer.findings()


@pytest.mark.parametrize("covered", [{0, 1, 2}, {3, 4, 5}, {0, 2, 4}])
def test_nothing_is_learned_from_frames_with_a_mask(
    covered: set[int], seen: list[tuple[SourceFrame, TrackedFace]]
) -> None:
    bare = [each for index, each in enumerate(seen) if index not in covered]
    found, expected = findings_of(seen, covered), findings_of(bare, set())
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("covered", [set(), {0, 1}, {0, 1, 2, 3}, {2, 5}, set(range(FRAMES))])
@pytest.mark.parametrize("parts", [[2], [3, 4], [1, 2, 3, 4, 5]])
def test_observers_of_parts_find_what_one_observer_finds(
    covered: set[int], parts: list[int], seen: list[tuple[SourceFrame, TrackedFace]]
) -> None:
    whole = MouthObserver()
    for first, stop in pairwise([0, *parts, FRAMES]):
        part = MouthObserver()
        for index in range(first, stop):
            frame, face = seen[index]
            part.observe(frame, replace(face, is_covered=index in covered))
        whole.absorb(part.observed())
    found, expected = whole.findings(), findings_of(seen, covered)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_clip_that_is_masked_throughout_still_has_colours(seen: list[tuple[SourceFrame, TrackedFace]]) -> None:
    assert {"lip_colour", "skin_colour"} <= set(findings_of(seen, set(range(FRAMES))))
