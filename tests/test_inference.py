"""Inference over a stream of frames: the edit of each frame, and the number of frames held."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import GeneratorSpec
from lipsync_core.inference import InferencePlan, infer_edits, inferred_frames, with_edits
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import Box
from tests.conftest import MakeVideo

COUNT = 11


class Clapper:
    """Takes three crops at a time, and returns its conditions and crops."""

    spec = GeneratorSpec("clapper", "1", "none", needs_mesh=False, hears_at="start", crop_px=8, batch_frames=3)
    provider = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = [float(crop.mean()) for crop in crops or ()]
        assert len(seen) == len(conditions)
        self.batches.append(len(seen))
        return np.column_stack([conditions, seen]).astype(np.float32)


class Times:
    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        return times_s.astype(np.float32)


class TopLeft:
    def region(self, frame_index: int) -> Box | None:
        return Box(-4, -4, 8, 8)

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert pixels.shape == (8, 8, 3)  # the part inside the frame
        return pixels


def plan_for(generator: Clapper, is_synced: NDArray[np.bool_]) -> InferencePlan:
    return InferencePlan(generator, Times(), TopLeft(), np.arange(len(is_synced), dtype=np.float64), is_synced)


def test_every_synced_frame_gets_the_edit_of_its_own_time_and_crop(make_video: MakeVideo) -> None:
    is_synced = np.ones(COUNT, np.bool_)
    is_synced[[0, 3, 4, 5, 10]] = False  # a whole window among them
    generator, clock = Clapper(), StageClock()
    frames = decode_frames(make_video(frames=COUNT), clock, Fraction(1))
    inferred = list(inferred_frames(frames, plan_for(generator, is_synced), clock))
    assert [one.frame.index for one in inferred] == list(range(COUNT))
    assert [one.edit is not None for one in inferred] == is_synced.tolist()
    assert [one.edit[0] for one in inferred if one.edit is not None] == np.flatnonzero(is_synced).tolist()
    assert generator.batches == [2, 3, 1]
    assert {stage.stage: stage.items for stage in clock.timings()}["infer"] == 6


def test_no_more_frames_are_held_than_a_batch_has(make_video: MakeVideo) -> None:
    taken = 0

    def counted(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    clock = StageClock()
    frames = counted(decode_frames(make_video(frames=COUNT), clock, Fraction(1)))
    for given, _ in enumerate(inferred_frames(frames, plan_for(Clapper(), np.ones(COUNT, np.bool_)), clock)):
        assert taken - given <= 3


def test_edits_alone_are_those_that_the_frames_would_get(make_video: MakeVideo) -> None:
    is_synced = np.ones(COUNT, np.bool_)
    is_synced[[1, 2, 7]] = False
    video, clock = make_video(frames=COUNT), StageClock()
    plan = plan_for(Clapper(), is_synced)
    inferred = inferred_frames(decode_frames(video, clock, Fraction(1)), plan, clock)
    expected = [one.edit for one in inferred if one.edit is not None]
    alone = list(infer_edits(decode_frames(video, clock, Fraction(1)), plan, clock))
    np.testing.assert_array_equal(alone, expected)
    assert len(alone) == 8


def test_stored_edits_come_back_to_the_frames_that_they_are_for(make_video: MakeVideo) -> None:
    is_synced = np.zeros(COUNT, np.bool_)
    is_synced[[0, 4, 10]] = True
    frames = decode_frames(make_video(frames=COUNT), StageClock(), Fraction(1))
    edited = {one.frame.index: one.edit for one in with_edits(frames, np.arange(3.0)[:, np.newaxis], is_synced)}
    assert {index: edit.item() for index, edit in edited.items() if edit is not None} == {0: 0.0, 4: 1.0, 10: 2.0}


def test_pairing_fails_when_an_edit_or_a_frame_is_missing(make_video: MakeVideo) -> None:
    video = make_video(frames=COUNT)
    for edits, count in ((2, COUNT), (COUNT + 1, COUNT + 1)):
        frames = decode_frames(video, StageClock(), Fraction(1))
        with pytest.raises(ValueError):
            list(with_edits(frames, np.zeros((edits, 1)), np.ones(count, np.bool_)))


def test_a_plan_fails_when_its_arrays_are_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="times"):
        InferencePlan(Clapper(), Times(), None, np.zeros(3), np.ones(4, np.bool_))
