"""Inference: every output frame gets the edit that its painter will paint, a window of frames at a time.

It stands alone, so that a service can run it where the GPU is and keep the edits for whoever blends.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import Conditions, Cropper, Generator
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import read_region


@dataclass(frozen=True, slots=True, eq=False)
class InferencePlan:
    """Everything that is decided before the first frame is inferred."""

    generator: Generator
    conditions: Conditions
    cropper: Cropper | None  # of a generator that wants crops
    times_s: NDArray[np.float64]  # (M,) the moment at which each output frame is heard
    is_synced: NDArray[np.bool_]  # (M,) whether it is edited at all

    def __post_init__(self) -> None:
        if self.times_s.shape != self.is_synced.shape:
            raise ValueError(f"times {self.times_s.shape} for {self.is_synced.shape} frames")


@dataclass(frozen=True, slots=True, eq=False)
class InferredFrame:
    """A frame of the timeline with the edit that is to be painted into it."""

    frame: SourceFrame
    edit: NDArray[Any] | None  # None where the frame passes through unchanged


def inferred_frames(frames: Iterable[SourceFrame], plan: InferencePlan, clock: StageClock) -> Iterator[InferredFrame]:
    """The frames of the timeline, in order, each with its edit.

    Holds as many frames as the generator wants crops of at a time; where it wants none, only the edits, which are a
    few numbers a frame.

    Raises:
        ModelError: the generator's network fails.
    """
    if plan.cropper is None:
        return _heard_frames(frames, plan, clock)
    return _seen_frames(iter(frames), plan, plan.cropper, clock)


def _heard_frames(frames: Iterable[SourceFrame], plan: InferencePlan, clock: StageClock) -> Iterator[InferredFrame]:
    with clock.stage("infer", items=len(plan.times_s), provider=plan.generator.provider):
        edits = plan.generator.infer(None, plan.conditions.at(plan.times_s))
    for number, frame in enumerate(frames):
        yield InferredFrame(frame, edits[number] if plan.is_synced[number] else None)


def _seen_frames(
    frames: Iterator[SourceFrame], plan: InferencePlan, cropper: Cropper, clock: StageClock
) -> Iterator[InferredFrame]:
    start = 0
    while window := list(islice(frames, plan.generator.spec.batch_frames)):
        is_synced = plan.is_synced[start : start + len(window)]
        seen = [frame for frame, is_wanted in zip(window, is_synced, strict=True) if is_wanted]
        with clock.stage("crop", items=len(seen)):
            crops = [_crop(frame, cropper) for frame in seen]
        with clock.stage("infer", items=len(seen), provider=plan.generator.provider):
            times_s = plan.times_s[start : start + len(window)][is_synced]
            edits = iter(plan.generator.infer(iter(crops), plan.conditions.at(times_s)) if seen else ())
        for frame, is_wanted in zip(window, is_synced, strict=True):
            yield InferredFrame(frame, next(edits) if is_wanted else None)
        start += len(window)


def _crop(frame: SourceFrame, cropper: Cropper) -> NDArray[np.uint8]:
    box = cropper.region(frame.index)
    if box is None:
        raise ValueError(f"frame {frame.index} has no face to crop")
    return cropper.crop(read_region(frame.picture, box.clipped(frame.picture.width, frame.picture.height)))
