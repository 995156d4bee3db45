"""The face track of a long video in parts: each is made by a run of its own, and the run that joins them checks them.

A part that is not there, or does not go on from the one before, is made by the run that joins. So the parts only save
time: whatever becomes of them, the track is the same.
"""

import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy as np
from pydantic import TypeAdapter, ValidationError

from lipsync_core.clock import StageTiming
from lipsync_core.division import part_count
from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.face.parts import TrackPart
from lipsync_core.face.store import named, of_name, track_arrays, track_of
from lipsync_core.media.listing import list_frames
from lipsync_core.report import Progress
from lipsync_core.timeline import source_s_needed
from lipsync_core.track_jobs import TrackWork, divided_video
from lipsync_core.tracking import extent_of
from lipsync_service.errors import GpuRunError, ObjectMissingError
from tasks.inference import Tracking
from tasks.job import JobInputs, ServiceJob
from tasks.part_order import PartOrder
from tasks.part_runs import PartRuns, RunsApi
from tasks.stage_log import StageMeter

_PAUSE_S = 0.3  # between two looks for a part that a run is at
_TIMINGS = TypeAdapter(tuple[StageTiming, ...])


class TrackOrder(PartOrder):
    """What a run needs to track a part of a video, beside the job's request."""

    kind: Literal["track part"] = "track part"
    until_s: Fraction | None  # how much of the video the whole track covers; None: all of it

    @property
    def stop_url(self) -> str:
        """Of a file that says that no parts are needed, or none can be made."""
        return f"{self.url.rpartition('-')[0]}-stop"


def track_orders(job: ServiceJob, inputs: JobInputs, job_id: UUID) -> tuple[TrackOrder, ...]:
    """The parts of a video that is longer than a segment; empty where it is tracked in one pass.

    Raises:
        InputError: the video cannot be read.
    """
    longest_s, stated_s = job.longest_segment_s, inputs.audio.stated_s
    if not longest_s or stated_s is None:
        return ()
    until_s = extent_of(source_s_needed(job.options.start_s + stated_s, job.options))
    known_s = [each for each in (until_s, inputs.video.info.duration_s) if each is not None]
    wanted = part_count(min(known_s, default=Fraction(0)), longest_s)
    if wanted < 2:
        return ()
    parts = divided_video(list_frames(inputs.video.path, inputs.video.reading, until_s), until_s, wanted)
    stem = f"segments/{job_id}-{inputs.video.sha256()[:16]}-track-{len(parts)}"
    return tuple(
        TrackOrder(
            number=number,
            count=len(parts),
            first=frames.start,
            stop=frames.stop,
            until_s=until_s,
            url=job.shared(f"{stem}-{number:05d}.npz"),
        )
        for number, frames in enumerate(parts if len(parts) > 1 else ())
    )


def make_part(tracking: Tracking, order: TrackOrder, meter: StageMeter) -> None:
    """Track the face in the part, and keep it; where the track is kept already, or its frames are not told, say so.

    Raises:
        InputError: the video cannot be read.
        TransientError: the shared storage does not answer.
    """
    job = tracking.job
    if job.files.exists(order.url):
        meter.was_cached = True
        return
    part = None if is_tracked(tracking, order.until_s) else _tracked(tracking, order, meter)
    path = job.folder / f"track-{order.number:05d}.npz"
    if part is None:
        path.touch()
        job.files.put_shared(path, order.stop_url)
    else:
        meter.items = len(order.frames)
        _write(path, tracking.key, part, meter.clock.timings())
        job.files.put_shared(path, order.url)
    path.unlink()


def is_tracked(tracking: Tracking, needed_s: Fraction | None) -> bool:
    """Whether an earlier job has kept a track that covers so much."""
    bring_track(tracking.job, tracking.key, tracking.url)
    return tracking.track_pass.store.find(tracking.key, needed_s) is not None


def have_parts_made(
    job: ServiceJob,
    orders: Sequence[TrackOrder],
    api: RunsApi,
    check: Callable[[], None],
    make_here: Callable[[TrackOrder], None] | None,
) -> None:
    """Wait until the parts are there. `make_here` makes one in this run; None: it cannot, and other runs make all.

    `check` raises SupersededError where this attempt has lost the job.

    Raises:
        SupersededError: another attempt has the job.
        GpuRunError: no worker has begun any of the runs.
    """
    done = {order.number for order in orders if _is_there(job, order.url)}
    with PartRuns(api, orders, done) as runs:
        for order in orders:
            runs.joined = order.number
            while not (is_there := _is_there(job, order.url)):
                if is_there is None:  # the storage is being restarted
                    time.sleep(_PAUSE_S)
                    continue
                if _is_there(job, order.stop_url):
                    return
                with suppress(TransientError):  # the server is being restarted: this run goes on
                    check()
                is_lost = runs.is_lost(order.number)
                if make_here is None and is_lost:
                    break  # the run that joins makes it
                free = None if make_here is None else order if is_lost else runs.take()
                if free is not None and make_here is not None:
                    make_here(free)
                    runs.is_done.add(free.number)
                    continue
                is_late = runs.are_all_waiting and runs.waited_s > job.max_gpu_wait_s
                if is_late and make_here is None:
                    raise GpuRunError("no worker has begun to track the video", "see that one is online")
                time.sleep(_PAUSE_S)
            runs.is_done.add(order.number)


def made_parts(
    tracking: Tracking, orders: Sequence[TrackOrder], meter: StageMeter, count: int
) -> Iterator[tuple[range, TrackPart | None]]:
    """The parts of the first `count` frames; None for each that nobody has made. `meter` counts what they took."""
    if orders and _is_there(tracking.job, orders[0].stop_url):  # packets do not tell the frames of the video
        return
    done = 0
    for order in (order for order in orders if order.first < count):
        done = min(order.stop, count)
        brought = _bring_part(tracking, order) if order.stop <= count else None
        if brought is not None:
            meter.clock.absorb(brought[1], 0.0)
        yield range(order.first, done), brought and brought[0]
    if done < count:
        yield range(done, count), None


def drop_parts(job: ServiceJob, orders: Sequence[TrackOrder]) -> None:
    """Remove the parts of a track that is kept; what the storage does not remove now goes with its age."""
    with suppress(LipSyncError):
        for url in (*(order.url for order in orders), *{order.stop_url for order in orders}):
            job.files.discard(url)


def bring_track(job: ServiceJob, key: str, url: str) -> bool:
    """Copy the shared track into the job's own store, unless the job has one; returns whether there is a shared one."""
    kept = job.tracks.path(key)
    if not job.files.take(url):
        return False
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with job.files.fetch_shared(url) as shared:
            shutil.copyfile(shared.path, kept)
    return True


def _tracked(tracking: Tracking, order: TrackOrder, meter: StageMeter) -> TrackPart | None:
    video, track_pass = tracking.video, tracking.track_pass
    listed = list_frames(video.path, video.reading, order.until_s)
    work = TrackWork(video, listed, track_pass.tracker, track_pass.generator)
    return work.part(order.frames, meter.clock, _ignore) if order.stop <= len(listed.pts) else None


def _write(path: Path, key: str, part: TrackPart, timings: tuple[StageTiming, ...]) -> None:
    told = {"key": key, "first": part.frames.start, "timings": [asdict(row) for row in timings]}
    arrays = {
        **named("track.", track_arrays(part.track)),
        **named("begun.", part.begun),
        **named("ended.", part.ended),
        **named("observed.", part.observed),
    }
    np.savez(path, allow_pickle=False, told=np.array(json.dumps(told)), **arrays)


def _bring_part(tracking: Tracking, order: TrackOrder) -> tuple[TrackPart, tuple[StageTiming, ...]] | None:
    """The part, and what its stages took; None where it is not there, or not of this track."""
    try:
        with tracking.job.files.fetch_shared(order.url) as copy:
            return _read(copy.path, tracking.key, order)
    except (ObjectMissingError, ValidationError, ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
        return None


def _read(path: Path, key: str, order: TrackOrder) -> tuple[TrackPart, tuple[StageTiming, ...]] | None:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        told = json.loads(str(arrays["told"]))
        track = track_of(of_name("track.", arrays))
        if (told["key"], told["first"], len(track)) != (key, order.first, len(order.frames)):
            return None
        states = (of_name(name, arrays) for name in ("begun.", "ended.", "observed."))
        return TrackPart(order.frames, track, *states), _TIMINGS.validate_python(told["timings"])


def _is_there(job: ServiceJob, url: str) -> bool | None:
    """Whether there is such a file; None where the storage does not answer."""
    try:
        return job.files.exists(url)
    except TransientError:
        return None


def _ignore(_: Progress) -> None:
    """The run that joins the parts shows the progress."""
