"""Inference: every synced frame gets the edit that its painter will paint, a window of frames at a time.

It stands alone, so that a service can run it where the GPU is and keep the edits for the machine that blends.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import Conditions, Cropper, InferringHalf
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import read_region

Edit = NDArray[Any]  # one row of a generator's edits


@dataclass(frozen=True, slots=True, eq=False)
class InferencePlan:
    """All that is decided before the first frame is inferred."""

    generator: InferringHalf
    conditions: Conditions
    cropper: Cropper | None  # None for a generator that needs no crops
    times_s: NDArray[np.float64]  # (M,) the moment at which each output frame is heard
    is_synced: NDArray[np.bool_]  # (M,) whether it is edited at all

    def __post_init__(self) -> None:
        if self.times_s.shape != self.is_synced.shape:
            raise ValueError(f"times {self.times_s.shape} for {self.is_synced.shape} frames")


@dataclass(frozen=True, slots=True, eq=False)
class InferredFrame:
    """A frame of the timeline with the edit that is to be painted into it."""

    frame: SourceFrame
    edit: Edit | None  # None where the frame passes through unchanged


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Frames that follow each other on the timeline, as many as the generator wants at a time."""

    start: int  # index of the first on the timeline
    frames: list[SourceFrame]

    @property
    def place(self) -> slice:
        """Their slice of the timeline."""
        return slice(self.start, self.start + len(self.frames))


def infer_edits(frames: Iterable[SourceFrame], plan: InferencePlan, clock: StageClock) -> Iterator[Edit]:
    """The edits of the synced frames, in order.

    `frames` are those of the timeline. They are looked at only where the generator wants crops, and then held as many
    at a time as it wants crops of.

    Raises:
        ModelError: the generator's network fails.
    """
    if plan.cropper is None:
        yield from _heard_edits(plan, clock)
        return
    for window in _windows(frames, plan):
        yield from _seen_edits(window, plan, plan.cropper, clock)


def inferred_frames(frames: Iterable[SourceFrame], plan: InferencePlan, clock: StageClock) -> Iterator[InferredFrame]:
    """The frames of the timeline, in order, each with its edit: inference and what follows it share one decode.

    Holds as many frames as the generator wants crops of at a time; where it wants none, only the edits, which are a
    few numbers a frame. Raises what `infer_edits` raises.
    """
    if plan.cropper is None:
        yield from with_edits(frames, _heard_edits(plan, clock), plan.is_synced)
        return
    for window in _windows(frames, plan):
        edits = _seen_edits(window, plan, plan.cropper, clock)
        yield from with_edits(window.frames, edits, plan.is_synced[window.place])


def with_edits(
    frames: Iterable[SourceFrame], edits: Iterable[Edit], is_synced: NDArray[np.bool_]
) -> Iterator[InferredFrame]:
    """Each frame with its edit, where it is synced: `edits` holds one for every True of `is_synced`.

    Raises:
        ValueError: there are more or fewer frames than `is_synced` says, or fewer edits.
    """
    remaining = iter(edits)
    for frame, is_wanted in zip(frames, is_synced, strict=True):
        edit = next(remaining, None) if is_wanted else None
        if is_wanted and edit is None:
            raise ValueError(f"no edit is left for frame {frame.index}")
        yield InferredFrame(frame, edit)


def _heard_edits(plan: InferencePlan, clock: StageClock) -> Iterable[Edit]:
    with clock.stage("infer", items=len(plan.times_s), provider=plan.generator.provider):
        edits = plan.generator.infer(None, plan.conditions.at(plan.times_s))
        synced: NDArray[Any] = edits[plan.is_synced]
        return synced


def _seen_edits(window: _Window, plan: InferencePlan, cropper: Cropper, clock: StageClock) -> Iterable[Edit]:
    is_synced = plan.is_synced[window.place]
    seen = [frame for frame, is_wanted in zip(window.frames, is_synced, strict=True) if is_wanted]
    with clock.stage("crop", items=len(seen)):
        crops = [_crop(frame, cropper) for frame in seen]
    with clock.stage("infer", items=len(seen), provider=plan.generator.provider):
        times_s = plan.times_s[window.place][is_synced]
        return plan.generator.infer(iter(crops), plan.conditions.at(times_s)) if seen else ()


def _windows(frames: Iterable[SourceFrame], plan: InferencePlan) -> Iterator[_Window]:
    source, start = iter(frames), 0
    while window := list(islice(source, plan.generator.spec.batch_frames)):
        yield _Window(start, window)
        start += len(window)


def _crop(frame: SourceFrame, cropper: Cropper) -> NDArray[np.uint8]:
    box = cropper.region(frame.index)
    if box is None:
        raise ValueError(f"frame {frame.index} has no face to crop")
    return cropper.crop(read_region(frame.picture, box.clipped(frame.picture.width, frame.picture.height)))
