"""A face track that is made in parts: by several processes of this machine, or by other machines."""

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lipsync_core.clock import StageClock
from lipsync_core.division import part_count
from lipsync_core.face.parts import JoinedParts, TrackPart, divided_track, frames_to_read, track_part
from lipsync_core.face.track import Arrays, FaceTrack, ReadArrays
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import Watching
from lipsync_core.media.listing import FrameList, decode_listed
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.part_processes import PartProcesses
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.source_video import SourceVideo
from lipsync_core.waits import Waits

_PROGRESS_EVERY = 5  # frames
_LONGEST_S = Fraction(60)  # of a part: it is made again where its process is killed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrackWork:
    """All that the tracking of any part of a video needs."""

    video: SourceVideo
    listed: FrameList
    tracker: FaceTracker
    generator: Watching

    def part(
        self,
        frames: range,
        clock: StageClock,
        progress: ProgressCallback,
        state: ReadArrays | None = None,
        *,
        is_counted: bool = True,
    ) -> TrackPart | None:
        """Track the face in `frames`, or go on from the `state` of the part before them; empty: there is none.

        None where they are not where the list has them: the video has to be tracked in one pass.

        Raises:
            InputError: the video cannot be read.
        """
        read = frames_to_read(frames, bool(state))
        pictures = decode_listed(self.video.path, read, self.listed.pts, clock, self.video.reading)
        announced = announced_frames(pictures, frames.start, len(frames), progress)
        part = track_part(
            self.tracker, frames, announced, self.generator.observer(), clock, state, is_counted=is_counted
        )
        is_as_listed = part.track.frame_pts.tolist() == list(self.listed.pts[frames.start : frames.stop])
        return part if is_as_listed else None


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The parts of a track, as those of `PartWork`."""

    work: TrackWork
    parts: tuple[range, ...]

    @property
    def part_name(self) -> str:
        """See `PartWork`."""
        return "a part of the face track"

    @property
    def part_frames(self) -> tuple[int, ...]:
        """See `PartWork`."""
        return tuple(len(frames) for frames in self.parts)

    def do(self, number: int, clock: StageClock, progress: ProgressCallback) -> TrackPart | None:
        """See `TrackWork.part`."""
        return self.work.part(self.parts[number], clock, progress)


def track_by_processes(
    work: TrackWork, until_s: Fraction | None, jobs: int, clock: StageClock, progress: ProgressCallback
) -> tuple[FaceTrack, Arrays] | None:
    """The track of the frames that begin before `until_s`, and the findings in them, by so many processes.

    None where the video is too short for that, or its packets do not tell its frames.

    Raises:
        LipSyncError: as `PartProcesses.in_order`.
    """
    parts = divided_video(work.listed, until_s, jobs)
    if len(parts) < 2:
        return None
    with PartProcesses(_Parts(work, parts), jobs) as processes:
        waits = Waits(processes.in_order(clock, progress))
        there = zip(parts, _until_missing(waits), strict=False)
        joined = join_parts(work, there, parts[-1].stop, clock, progress)
    rows = processes.timings if joined else [replace(row, items=0) for row in processes.timings]
    clock.absorb(rows, waits.waited_s)
    return joined


def _until_missing(parts: Iterable[TrackPart | None]) -> Iterator[TrackPart]:
    """The parts up to the first whose frames were not as listed."""
    for part in parts:
        if part is None:
            return
        yield part


def join_parts(
    work: TrackWork,
    parts: Iterable[tuple[range, TrackPart | None]],
    frames_of_all: int,
    clock: StageClock,
    progress: ProgressCallback,
) -> tuple[FaceTrack, Arrays] | None:
    """The track of all `parts`, and the findings in them. Those that are not there are made, also where one is wrong.

    None where the packets of the video do not tell its frames.

    Raises:
        InputError: the video cannot be read.
    """
    made = JoinedParts(work.generator.observer(), frames_of_all)
    for frames, part in parts:
        if part is None or not made.goes_on_with(part):
            _log.debug("%s: %s is tracked here", work.video.path, frames)
            told = _behind(progress, frames.start, len(work.listed.pts))
            part = work.part(frames, clock, told, made.ended, is_counted=part is None)
        if part is None:
            _log.debug("%s: its packets do not tell its frames", work.video.path)
            return None
        made.add(part)
    track = made.track()
    return None if track is None else (track, made.findings())


def divided_video(listed: FrameList, until_s: Fraction | None, parts: int) -> tuple[range, ...]:
    """The frames that begin before `until_s` in so many parts, or in more where they would be longer than a minute."""
    count = frames_until(listed, until_s)
    if not count:
        return ()
    duration_s = listed.pts[count - 1] * listed.time_base
    pts = np.array(listed.pts, np.int64)
    return divided_track(pts, listed.time_base, count, max(parts, part_count(duration_s, _LONGEST_S)))


def frames_until(listed: FrameList, until_s: Fraction | None) -> int:
    """How many frames begin before `until_s`."""
    return len(listed.pts) if until_s is None else bisect_left(listed.pts, until_s / listed.time_base)


def announced_frames(
    frames: Iterable[SourceFrame], first: int, total: int | None, progress: ProgressCallback
) -> Iterator[SourceFrame]:
    """The same `frames`; `progress` is told now and then how many of `total` have come, from number `first` on."""
    for frame in frames:
        if frame.index % _PROGRESS_EVERY == 0:
            progress(Progress("track", max(0, frame.index - first), total))
        yield frame


def _behind(progress: ProgressCallback, frames: int, total: int) -> ProgressCallback:
    """Tell `progress` of a part behind so many frames of `total`."""
    return lambda step: progress(Progress(step.stage, frames + step.done, total))
