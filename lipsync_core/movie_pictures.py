"""The pictures of a movie: the frames of a plan in the form in which they are encoded, with their times."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Self

import av
import numpy as np

from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.delivery import DeliveredPictures, Delivery, delivery_of
from lipsync_core.media.encode import ENCODE_STAGE, PictureSpec
from lipsync_core.media.mux import MovieWriter
from lipsync_core.media.source_frame import Shape, described
from lipsync_core.media.working import WorkingPicture, working_picture
from lipsync_core.options import JobOptions
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.timeline import Timeline

_PROGRESS_EVERY = 5  # frames
_MOST_SHAPES = 3  # that a report names


@dataclass(frozen=True, slots=True)
class WrittenPictures:
    """The facts about encoded pictures that the report needs."""

    width_px: int
    height_px: int
    changes: tuple[str, ...]  # of all of them: `delivery.Delivery.changes`
    others: Mapping[Shape, int]  # how many had another shape than the first one

    def with_others_of(self, following: Self) -> Self:
        """Those of this segment of a movie and a following one."""
        others = dict(Counter(self.others) + Counter(following.others))
        return type(self)(self.width_px, self.height_px, self.changes, others)

    def partial_changes(self, frames: int) -> Iterator[str]:
        """In words, what those of other shapes went through; the movie has so many `frames`."""
        most = Counter(self.others).most_common(_MOST_SHAPES)
        for shape, count in most:
            yield f"partly converted from {described(shape)} ({count} of {frames} frames)"
        if len(self.others) > _MOST_SHAPES:
            yield f"partly converted from {len(self.others) - _MOST_SHAPES} other kinds"


@dataclass(slots=True)
class MoviePictures:
    """The frames of a plan on their way to an encoder, whose stream is as `spec` says."""

    spec: PictureSpec
    _delivered: Delivery
    _frames: Iterator[SourceFrame]
    _timeline: Timeline
    _clock: StageClock
    _others: Counter[Shape] = field(default_factory=Counter)

    @classmethod
    def of(cls, frames: Iterator[SourceFrame], plan: ClipPlan, options: JobOptions, clock: StageClock) -> Self:
        """Those of `frames`, one for each of the plan's timeline. The first one is taken now: it decides the form."""
        first = next(frames)
        delivered = _delivery(first, plan, options)
        return cls(_picture_spec(delivered, plan), delivered, chain([first], frames), plan.timeline, clock)

    def write(self, movie: MovieWriter, progress: ProgressCallback) -> WrittenPictures:
        """Encode all of them, each with its time on the timeline."""
        timeline = self._timeline
        durations = np.diff(timeline.pts, append=timeline.pts[-1] + timeline.last_duration)
        total = len(timeline)
        for number, picture in enumerate(self._pictures()):
            movie.write(picture, int(timeline.pts[number]), int(durations[number]))
            if number % _PROGRESS_EVERY == 0 or number + 1 == total:
                progress(Progress("render", number + 1, total))
        return WrittenPictures(self.spec.width_px, self.spec.height_px, self._delivered.changes, dict(self._others))

    def _pictures(self) -> Iterator[av.VideoFrame]:
        is_as_it_was = self._delivered.source == self._delivered.picture
        converter = None if is_as_it_was else DeliveredPictures(self._delivered)
        for frame in self._frames:
            if frame.converted_from is not None:
                self._others[frame.converted_from] += 1
            if converter is None:
                yield frame.picture
                continue
            with self._clock.stage(ENCODE_STAGE):
                picture = converter.convert(frame.picture)
            yield picture


def _delivery(frame: SourceFrame, plan: ClipPlan, options: JobOptions) -> Delivery:
    info, picture = plan.video.info, frame.picture
    stored = working_picture(info)
    source = WorkingPicture(picture.width, picture.height, picture.format.name, stored.colour)
    is_reduced = plan.video.size_px is not None
    return delivery_of(source, info, options, (stored.width_px, stored.height_px) if is_reduced else None)


def _picture_spec(delivered: Delivery, plan: ClipPlan) -> PictureSpec:
    """The properties of the output's pictures."""
    info, picture = plan.video.info, delivered.picture
    return PictureSpec(
        width_px=picture.width_px,
        height_px=picture.height_px,
        pix_fmt=picture.pix_fmt,
        time_base=plan.timeline.time_base,
        frame_rate=plan.timeline.frame_rate or info.frame_rate,
        sample_aspect_ratio=info.sample_aspect_ratio,
        rotation_deg=info.rotation_deg,
        colour=picture.colour,
        language=info.language,
        light=info.light if picture.colour == delivered.source.colour else None,
        is_still=info.is_still,
    )
