"""Decoding: a video as a stream of frames in the working format, forwards or in any order.

At most one frame is held at a time. The exception is a run of descending frames (the way back of a ping-pong): it
is decoded forwards in blocks that fit a memory budget, and each block is handed out from its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

from lipsync_core.apart import streamed_apart
from lipsync_core.clock import StageClock
from lipsync_core.media.frame_reader import FrameReader
from lipsync_core.media.runs import Run, split_runs
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.media.stream import DECODE_STAGE, PictureStream, Reading
from lipsync_core.media.working import copied, working_format

__all__ = ["DEFAULT_BUDGET_BYTES", "Reading", "SourceFrame", "decode_frames", "decode_in_order", "working_format"]

DEFAULT_BUDGET_BYTES = 64 << 20
_AS_STORED = Reading()


def decode_frames(
    path: Path,
    clock: StageClock,
    until_s: Fraction | None = None,
    reading: Reading = _AS_STORED,
) -> Iterator[SourceFrame]:
    """The frames of `path` from the first one on, those that start before `until_s`; timed as stage "decode".

    Damaged pictures are left out and logged. A still image gives one frame that lasts 1/25 s.

    Raises, from the first step on:
        NoVideoError: the file holds no picture.
        UnreadableMediaError: it holds pictures of which none can be decoded.
        InputError: as `probe.probe`; also where it turns out longer than its header says (LimitError).
    """
    return clock.timed(DECODE_STAGE, _forwards(path, until_s, reading, clock=clock))


def decode_in_order(
    path: Path,
    order: Sequence[int],
    clock: StageClock,
    budget_bytes: int = DEFAULT_BUDGET_BYTES,
    frame_pts: Sequence[int] | None = None,
    reading: Reading = _AS_STORED,
) -> Iterator[SourceFrame]:
    """One frame for each entry of `order`, which holds indexes of source frames; timed as stage "decode".

    `order` may ascend, descend, jump and repeat; every picture is independent of the others, repeats included.
    `budget_bytes` bounds the pictures held for descending runs (one is always allowed). `frame_pts`, the start times
    of the frames from an earlier pass (`FaceTrack.frame_pts`), lets the first run seek; without it the frames before
    are decoded once.

    Raises, from the first step on:
        UnreadableMediaError: the file has no such frame, or none that can be decoded.
        NoVideoError, InputError: as `decode_frames`.
    """
    if min(order, default=0) < 0:
        raise ValueError(f"frame index {min(order)} is negative")
    return clock.timed(DECODE_STAGE, _in_order(path, order, budget_bytes, frame_pts, reading, clock=clock))


@streamed_apart
def _forwards(
    path: Path, until_s: Fraction | None, reading: Reading, clock: StageClock | None = None
) -> Iterator[SourceFrame]:
    with picture_stream(path, reading, clock or StageClock()) as stream:
        reader = FrameReader(stream, reading.size_px)
        while (frame := reader.read()) is not None:
            if until_s is not None and frame.start_s >= until_s:
                return
            yield frame


@streamed_apart
def _in_order(
    path: Path,
    order: Sequence[int],
    budget_bytes: int,
    frame_pts: Sequence[int] | None,
    reading: Reading,
    clock: StageClock | None = None,
) -> Iterator[SourceFrame]:
    with picture_stream(path, reading, clock or StageClock()) as stream:
        reader = FrameReader(stream, reading.size_px)
        if frame_pts is not None and not stream.is_shuffled:  # else their pts as stored have to be seen
            reader.times.extend(frame_pts)
        capacity = max(1, budget_bytes // reader.picture_bytes)
        kept: list[SourceFrame] = []  # frames that the run before shares with the first block of a descending run
        for run, following in pairwise(chain(split_runs(order), [None])):
            if run is None:
                return
            if run.step < 0:
                yield from _descending(reader, run, capacity, kept)
            else:
                yield from _ascending(reader, run, _turning_block(run, following, capacity), kept)


def picture_stream(path: Path, reading: Reading, clock: StageClock) -> PictureStream:
    """The pictures of `path`, not opened yet."""
    return PictureStream(path, clock, reading.decoder, track=reading.track, is_woven=reading.is_woven)


def _turning_block(run: Run, following: Run | None, capacity: int) -> range:
    """The frames of an ascending run that the first block of the following, descending one shows again."""
    if following is None or following.step > 0 or not run.first <= following.first <= run.last:
        return range(0)
    last = following.first
    return range(max(run.first, following.last, last - capacity + 1), last + 1)


def _ascending(reader: "FrameReader", run: Run, to_keep: range, kept: list[SourceFrame]) -> Iterator[SourceFrame]:
    reader.move_to(run.first)
    for repeats in run.repeats:
        frame = reader.require()
        if frame.index in to_keep:
            kept.append(_duplicate(frame))
        yield from _repeated(frame, repeats)


def _descending(reader: "FrameReader", run: Run, capacity: int, kept: list[SourceFrame]) -> Iterator[SourceFrame]:
    done = 0
    while done < len(run.repeats):
        block, kept = kept, []
        if not block:
            count = min(capacity, len(run.repeats) - done)
            reader.move_to(run.first - done - count + 1)
            block = [reader.require() for _ in range(count)]
        while block:
            yield from _repeated(block.pop(), run.repeats[done])
            done += 1


def _repeated(frame: SourceFrame, times: int) -> Iterator[SourceFrame]:
    for _ in range(times - 1):
        yield _duplicate(frame)
    yield frame


def _duplicate(frame: SourceFrame) -> SourceFrame:
    picture = copied(frame.picture)
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return replace(frame, picture=picture)
