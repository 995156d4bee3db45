"""Decoding: a video as a stream of frames in the working format, forwards or in any order.

At most one frame is held at a time. The exception is a run of descending frames (the way back of a ping-pong): it
is decoded forwards in blocks that fit a memory budget, and each block is handed out from its end.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import av

from lipsync_core.apart import streamed_apart
from lipsync_core.clock import StageClock
from lipsync_core.errors import NoVideoError, UnreadableMediaError
from lipsync_core.media.orientation import mirror
from lipsync_core.media.runs import Run, split_runs
from lipsync_core.media.source_frame import Shape, SourceFrame
from lipsync_core.media.stream import DECODE_STAGE, PictureStream, Reading
from lipsync_core.media.stream_checks import require_decoded
from lipsync_core.media.times import FrameTimes
from lipsync_core.media.working import PictureConverter, copied, working_format

__all__ = ["DEFAULT_BUDGET_BYTES", "Reading", "SourceFrame", "decode_frames", "decode_in_order", "working_format"]

DEFAULT_BUDGET_BYTES = 64 << 20
_SKIP_AHEAD_FRAMES = 64  # a shorter jump forward decodes the frames between: most seeks would land before them
_SEEK_MARGINS = (0, 32)  # frames; if a seek lands too late, as in open groups of pictures, a second one aims earlier
_MAX_REORDERED = 16  # pictures, in H.264 and HEVC
_AS_STORED = Reading()
_GET_IT_AGAIN = "copy or download the file again"

_log = logging.getLogger(__name__)


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
    with _stream(path, reading, clock) as stream:
        reader = _FrameReader(stream, reading.size_px)
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
    with _stream(path, reading, clock) as stream:
        reader = _FrameReader(stream, reading.size_px)
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


def _stream(path: Path, reading: Reading, clock: StageClock | None) -> PictureStream:
    """The pictures of `path`, not opened yet."""
    return PictureStream(path, clock or StageClock(), reading.decoder, track=reading.track, is_woven=reading.is_woven)


def _turning_block(run: Run, following: Run | None, capacity: int) -> range:
    """The frames of an ascending run that the first block of the following, descending one shows again."""
    if following is None or following.step > 0 or not run.first <= following.first <= run.last:
        return range(0)
    last = following.first
    return range(max(run.first, following.last, last - capacity + 1), last + 1)


def _ascending(reader: "_FrameReader", run: Run, to_keep: range, kept: list[SourceFrame]) -> Iterator[SourceFrame]:
    reader.move_to(run.first)
    for repeats in run.repeats:
        frame = reader.require()
        if frame.index in to_keep:
            kept.append(_duplicate(frame))
        yield from _repeated(frame, repeats)


def _descending(reader: "_FrameReader", run: Run, capacity: int, kept: list[SourceFrame]) -> Iterator[SourceFrame]:
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


class _Ahead(NamedTuple):
    """A decoded picture that waits, scaled where it is to be, so that the decoder has its own large one back."""

    picture: av.VideoFrame
    other_shape: Shape | None  # that it had, where the film's first picture has another


class _FrameReader:
    """Reads numbered frames from any position of an open video.

    A frame is identified by the pts that it had when first decoded. If a seek does not lead to its frame, the file is
    decoded again from the beginning.
    """

    def __init__(self, stream: PictureStream, size_px: tuple[int, int] | None) -> None:
        first = next(stream, None)
        if first is None:
            raise _nothing_decoded(stream)
        self._stream = stream
        self._converter = PictureConverter(first, size_px)
        self._orientation = stream.orientation_of(first)
        self.times = FrameTimes(stream.time_base, stream.nominal_duration, may_jump=stream.may_jump)
        self.times.append(first.pts, stream.shown_pts)
        # A picture whose pts is larger by no more than this may precede the wanted one.
        self._disorder = _MAX_REORDERED * stream.nominal_duration if stream.is_shuffled else 0
        self._ahead: _Ahead | None = self._waiting(first)  # the picture at _position, if it is already decoded
        self._position = 0  # index of the frame that is read next
        self._is_after_seek = False  # then every known frame is checked by its pts

    @property
    def picture_bytes(self) -> int:
        """Memory that one picture takes."""
        return self._converter.target.size_bytes

    def read(self) -> SourceFrame | None:
        """Read the frame at the current position and move on; None at the end."""
        index = self._position
        taken = self._take()
        if taken is None:
            return None
        picture, other_shape = taken
        if self._position == len(self.times):
            following = self._next_picture()  # tells how long this frame lasts
            self._ahead = None if following is None else self._waiting(following)
        pts, time_base = self.times.pts(index), self._stream.time_base
        require_decoded(index + 1, pts * time_base, str(self._stream.path))
        duration = self.times.duration(index, picture.duration or 0)
        converted = self._converter.convert(picture)
        if self._orientation.is_mirrored:
            mirror(converted)
        converted.pts, converted.time_base = pts, time_base
        # A flip changes the angle of the matrix that the picture still has, and a copy has no matrix.
        extra_turns = (self._orientation.quarter_turns - round(converted.rotation / 90)) % 4
        return SourceFrame(index, pts, duration, time_base, converted, extra_turns, other_shape)

    def require(self) -> SourceFrame:
        """Read a frame that must exist, and move on."""
        frame = self.read()
        if frame is None:
            raise UnreadableMediaError(f"{self._stream.path}: frame {self._position} cannot be decoded", _GET_IT_AGAIN)
        return frame

    def move_to(self, index: int) -> None:
        """Move to frame `index`, or to the end of the video if there is no such frame."""
        known = min(index, len(self.times) - 1)
        is_close = self._position <= index and known <= self._position + _SKIP_AHEAD_FRAMES
        if not is_close and not any(self._seek(known, margin) for margin in self._margins()):
            _log.debug("%s: no seek leads to frame %d, decoding from the start", self._stream.path, known)
            self._stream.restart()
            self._ahead, self._position, self._is_after_seek = None, 0, False
        while self._position < index and self._take() is not None:
            pass

    def _seek(self, index: int, margin: int) -> bool:
        """Seek to frame `index`, aiming `margin` frames before it; False if it was not reached."""
        wanted = self.times.stored(index)
        if not self._stream.seek(self.times.stored(max(0, index - margin))):
            return False
        has_key = False  # pictures before the first key frame may lack their references
        for picture in self._stream:
            has_key = has_key or picture.key_frame
            if picture.pts is None or picture.pts > wanted + self._disorder or picture.is_corrupt:
                return False
            if picture.pts == wanted:
                self._ahead, self._position, self._is_after_seek = self._waiting(picture), index, True
                return has_key
        return False

    def _margins(self) -> tuple[int, ...]:
        return tuple(margin + self._stream.context_frames for margin in _SEEK_MARGINS)

    def _take(self) -> _Ahead | None:
        """Take the picture at the current position and move on."""
        taken, self._ahead = self._ahead, None
        if taken is None:
            picture = self._next_picture()
            if picture is None:
                return None
            taken = _Ahead(picture, self._converter.other_shape(picture))
        self._position += 1
        return taken

    def _waiting(self, picture: av.VideoFrame) -> _Ahead:
        return _Ahead(self._converter.reduced(picture), self._converter.other_shape(picture))

    def _next_picture(self) -> av.VideoFrame | None:
        """The stream's picture at the current position, checked against the frame's known pts."""
        picture = next(self._stream, None)
        if self._position == len(self.times):
            if picture is not None and picture.pts is not None and self._stream.shown_pts is None:
                picture = self._anew()
            if picture is not None:
                self.times.append(picture.pts, self._stream.shown_pts)
            return picture
        stored = self.times.stored(self._position)
        if self._is_after_seek and (picture is None or picture.pts != stored):
            _log.debug("%s: frame %d is not where it was, decoding from the start", self._stream.path, self._position)
            return self._anew()
        return picture

    def _anew(self) -> av.VideoFrame | None:
        """The picture at the current position, decoded from the start of the file."""
        self._stream.restart()
        self._is_after_seek = False
        return next(islice(self._stream, self._position, None), None)


def _nothing_decoded(stream: PictureStream) -> UnreadableMediaError | NoVideoError:
    if stream.damaged:
        return UnreadableMediaError(f"no picture of {stream.path} can be decoded", _GET_IT_AGAIN)
    return NoVideoError(f"{stream.path} has a video stream without a frame", _GET_IT_AGAIN)
