"""Reads the frames of an open video by their numbers."""

import logging
from itertools import islice
from typing import NamedTuple

import av

from lipsync_core.errors import NoVideoError, UnreadableMediaError
from lipsync_core.media.orientation import mirror
from lipsync_core.media.source_frame import Shape, SourceFrame
from lipsync_core.media.stream import PictureStream
from lipsync_core.media.stream_checks import require_decoded
from lipsync_core.media.times import FrameTimes
from lipsync_core.media.working import PictureConverter

_SKIP_AHEAD_FRAMES = 64  # a shorter jump forward decodes the frames between: most seeks would land before them
_SEEK_MARGINS = (0, 32)  # frames; if a seek lands too late, as in open groups of pictures, a second one aims earlier
_MAX_REORDERED = 16  # pictures, in H.264 and HEVC
_GET_IT_AGAIN = "copy or download the file again"

_log = logging.getLogger(__name__)


class _Ahead(NamedTuple):
    """A decoded picture that waits, scaled where it is to be, so that the decoder has its own large one back."""

    picture: av.VideoFrame
    other_shape: Shape | None  # that it had, where the film's first picture has another


class FrameMovedError(Exception):
    """A picture is not where it was said to be, or not what it is in the whole."""


class FrameReader:
    """Reads numbered frames from any position of an open video.

    A frame is identified by the pts that it had when first decoded. If a seek does not lead to its frame, the file is
    decoded again from the beginning; with `is_strict` that raises FrameMovedError.
    """

    def __init__(self, stream: PictureStream, size_px: tuple[int, int] | None, *, is_strict: bool = False) -> None:
        first = next(stream, None)
        if first is None:
            raise nothing_decoded(stream)
        self._stream = stream
        self._converter = PictureConverter(first, size_px)
        self._orientation = stream.orientation_of(first)
        self.times = FrameTimes(stream.time_base, stream.nominal_duration, may_jump=stream.may_jump)
        self.times.append(first.pts, stream.shown_pts)
        # A picture whose pts is larger by no more than this may precede the wanted one.
        self._disorder = _MAX_REORDERED * stream.nominal_duration if stream.is_shuffled else 0
        self._ahead: _Ahead | None = self._waiting(first)  # the picture at _position, if it is already decoded
        self._position = 0  # index of the frame that is read next
        self._is_strict = is_strict
        self._is_after_seek = is_strict  # then every known frame is checked by its pts

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
        if self._is_strict and (picture.is_corrupt or self._stream.damaged):  # it depends on what was decoded before
            raise FrameMovedError
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
            self._restart()
            self._ahead, self._position = None, 0
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
        self._restart()
        return next(islice(self._stream, self._position, None), None)

    def _restart(self) -> None:
        if self._is_strict:
            raise FrameMovedError
        self._stream.restart()
        self._is_after_seek = False


def nothing_decoded(stream: PictureStream) -> UnreadableMediaError | NoVideoError:
    """The error of a video of which no picture was decoded."""
    if stream.damaged:
        return UnreadableMediaError(f"no picture of {stream.path} can be decoded", _GET_IT_AGAIN)
    return NoVideoError(f"{stream.path} has a video stream without a frame", _GET_IT_AGAIN)
