"""Some frames of a video, spread over it: enough to judge it by, at a part of the cost of reading all of it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from lipsync_core.apart import streamed_apart
from lipsync_core.clock import StageClock
from lipsync_core.media.decode import picture_stream
from lipsync_core.media.fields import keep_one_field
from lipsync_core.media.frame_reader import nothing_decoded
from lipsync_core.media.orientation import mirror
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.media.stream import DECODE_STAGE, PictureStream, Reading
from lipsync_core.media.working import PictureConverter

#: A video up to this long is read from its beginning to its end; of a longer one some key frames are sought.
READ_WHOLE_S = 120
_MOST_SAMPLES = 40
_STEP_S = Fraction(1, 2)
_END_PICTURES = 600  # read behind the last key frame that is sought, to see whether the video ends where it says


def sample_frames(path: Path, length_s: Fraction | None, clock: StageClock, reading: Reading) -> Iterator[SourceFrame]:
    """Some 40 frames at most of the first `length_s` of `path`, in order, and the last one; timed as stage "decode".

    They lie half a second or more apart. `length_s` is None where the video does not say how long it is: then it is
    read for `READ_WHOLE_S`. Frames are numbered from 0 by samples. A still image gives one.
    Of pictures that are woven of two fields one is left, at a tenth of the cost of making them whole.

    Raises, from the first step on:
        NoVideoError, InputError: as `decode.decode_frames`.
    """
    return clock.timed(DECODE_STAGE, _sampled(path, length_s, reading, clock=clock))


@streamed_apart
def _sampled(
    path: Path, length_s: Fraction | None, reading: Reading, clock: StageClock | None = None
) -> Iterator[SourceFrame]:
    with picture_stream(path, replace(reading, is_woven=False), clock or StageClock()) as stream:
        sampler = _Sampler(stream, reading)
        if length_s is not None and length_s > READ_WHOLE_S:
            yield from sampler.sought(length_s)
        if sampler.is_empty:  # short, or not seekable
            yield from sampler.read(length_s)
    if sampler.is_empty:
        raise nothing_decoded(stream)


class _Sampler:
    """Chooses among the pictures of an open video, and brings the chosen ones into the working format."""

    def __init__(self, stream: PictureStream, reading: Reading) -> None:
        self._stream = stream
        self._size_px = reading.size_px
        self._is_woven = reading.is_woven
        self._converter: PictureConverter | None = None
        self._first_pts = 0
        self._count = 0
        self._last_pts = -1  # of the last sample, in units of the stream's time base, from the first picture

    @property
    def is_empty(self) -> bool:
        """No sample was taken."""
        return self._count == 0

    def read(self, length_s: Fraction | None) -> Iterator[SourceFrame]:
        """Samples of all pictures up to `length_s`, but `READ_WHOLE_S` at most, and the last one."""
        self._stream.restart()
        self._stream.leave_out_unreferenced()
        until_s = Fraction(min(length_s or READ_WHOLE_S, READ_WHOLE_S))
        step_s = max(_STEP_S, until_s / _MOST_SAMPLES) if length_s else _STEP_S
        due_s, last, last_pts = Fraction(0), None, 0
        for at, picture in enumerate(self._stream):
            pts = self._pts(picture, at)
            if pts * self._stream.time_base >= until_s:
                break
            last, last_pts = picture, pts
            if pts * self._stream.time_base >= due_s:
                yield self._frame(picture, pts)
                steps = 1 << self._count // _MOST_SAMPLES  # further apart, the longer a video without a length lasts
                due_s, last = max(due_s + steps * step_s, pts * self._stream.time_base), None
        if last is not None:
            yield self._frame(last, last_pts)

    def sought(self, length_s: Fraction) -> Iterator[SourceFrame]:
        """The key frame before each of 40 moments, and the last picture where it is near; none if it cannot seek."""
        start = self._stream.first_time
        for at in range(_MOST_SAMPLES):
            wanted = start + int(length_s * at / _MOST_SAMPLES / self._stream.time_base)
            if not self._stream.seek(wanted):
                return
            picture = next((each for each in self._stream if each.key_frame), None)
            if picture is None or picture.pts is None:
                break
            pts = self._pts(picture, at)
            if pts > self._last_pts:
                yield self._frame(picture, pts)
        yield from self._end()

    def _end(self) -> Iterator[SourceFrame]:
        """The last picture, where few are left."""
        last: av.VideoFrame | None = None
        for count, picture in enumerate(self._stream):
            if count == _END_PICTURES:
                return
            last = picture
        if last is not None and last.pts is not None and self._pts(last, 0) > self._last_pts:
            yield self._frame(last, self._pts(last, 0))

    def _pts(self, picture: av.VideoFrame, at: int) -> int:
        """From the first picture on; where the file does not say it, by the number of the picture."""
        shown = self._stream.shown_pts if self._stream.shown_pts is not None else picture.pts
        if self._converter is None:
            self._converter = PictureConverter(picture, self._size_px)
            self._first_pts = shown or 0
        return at * self._stream.nominal_duration if shown is None else max(0, shown - self._first_pts)

    def _frame(self, picture: av.VideoFrame, pts: int) -> SourceFrame:
        if self._converter is None:
            raise ValueError("the converter is made with the first picture")
        orientation = self._stream.orientation_of(picture)
        other_shape = self._converter.other_shape(picture)
        converted = self._converter.convert(picture)
        if self._is_woven:
            keep_one_field(converted)
        if orientation.is_mirrored:
            mirror(converted)
        time_base = self._stream.time_base
        converted.pts, converted.time_base = pts, time_base
        extra_turns = (orientation.quarter_turns - round(converted.rotation / 90)) % 4
        index, self._count, self._last_pts = self._count, self._count + 1, pts
        return SourceFrame(index, pts, self._stream.nominal_duration, time_base, converted, extra_turns, other_shape)
