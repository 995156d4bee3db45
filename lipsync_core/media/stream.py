"""The pictures of one file in decoder order, from the beginning or from a key frame."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import NoVideoError
from lipsync_core.media.decoding import SIZE_ERRORS, DamagedPackets, decoded
from lipsync_core.media.fields import CONTEXT_FRAMES, deinterlaced
from lipsync_core.media.hardware import HARDWARE
from lipsync_core.media.joins import clock_of
from lipsync_core.media.marked_packets import shown_packets
from lipsync_core.media.opening import is_still, open_media
from lipsync_core.media.orientation import Orientation, orientation_of
from lipsync_core.media.skipping import can_skip_non_reference
from lipsync_core.media.starts import may_jump
from lipsync_core.media.stills import converted_still
from lipsync_core.media.tracks import video_stream
from lipsync_core.shortage import require_no_shortage
from lipsync_core.threads import codec_threads

DECODE_STAGE = "decode"
_STILL_TIME_BASE = Fraction(1, 25)
_FALLBACK_RATE = Fraction(25)
#: Up to 720p one decoding thread keeps up with all later stages, and more threads would cost 15 % more CPU.
SMALL_PX = 1280 * 720
#: Beyond 4K a picture in 8K takes 50 MB, and each frame thread holds one or two more: slices of one take none.
_SLICED_PX = 4096 * 2304
_NO_PTS, _LAST_PTS = -(1 << 63), 1 << 63  # before and behind every pts
#: FFmpeg's names of the containers whose files often say when a picture is decoded, and not when it is shown.
_IN_DECODING_ORDER = frozenset({"avi", "asf", "mxf"})
_MAX_FLUSHES = 64  # at a damaged end each flush reports one error, at most one per thread; no codec has more threads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the pictures of a video are read."""

    decoder: str = "cpu"  # one of `hardware.HARDWARE`
    track: str | None = None  # as for `tracks.video_stream`
    is_woven: bool = False  # pictures that are woven of two fields become whole ones
    size_px: tuple[int, int] | None = None  # (width, height) to which larger pictures are scaled at once


class PictureStream:
    """An open video; a context manager and an iterator over its pictures, damaged ones left out.

    `decoder` is one of `hardware.HARDWARE`; with a fallback the CPU decodes what the hardware does not take. Without
    one it is a trial, which decodes in a single thread. `track` is as for `tracks.video_stream`. With `is_woven`
    pictures that are woven of two fields become whole ones.

    Raises, from entering it and from each step: as `probe.require_video`.
    """

    def __init__(
        self,
        path: Path,
        clock: StageClock,
        decoder: str = "cpu",
        has_fallback: bool = True,
        track: str | None = None,
        is_woven: bool = False,
    ) -> None:
        self._path = path
        self._is_woven = is_woven
        self._track = track
        self._open_hardware = HARDWARE[decoder]
        self._has_fallback = has_fallback
        self._clock = clock
        self._stack = ExitStack()
        self._pictures: Iterator[av.VideoFrame] = iter(())
        self._is_still = False
        self._may_jump = False
        self._codec = ""
        self._damaged = 0
        self._damaged_packets = DamagedPackets()
        self._key_packet: av.Packet[VideoStream] | None = None  # the last; the sizes of pictures change there
        self._unshown: list[int] | None = None  # heap of the pts of a shuffled stream's packets; None after a seek
        self._shown: int | None = None

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._pictures = iter(())
        return self._stack.__exit__(kind, error, trace)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> av.VideoFrame:
        picture = next(self._pictures)
        self._shown = self._shown_pts_of(picture)
        return picture

    @property
    def path(self) -> Path:
        """The video file."""
        return self._path

    @property
    def damaged(self) -> int:
        """The number of errors that the decoder has reported."""
        return self._damaged

    @property
    def time_base(self) -> Fraction:
        """Seconds; the unit of the pictures' pts."""
        return _STILL_TIME_BASE if self.is_still else self._stream.time_base or _STILL_TIME_BASE

    @property
    def is_still(self) -> bool:
        """The file is one image."""
        return self._is_still

    def orientation_of(self, picture: av.VideoFrame) -> Orientation:
        """The orientation of one of the stream's pictures."""
        return orientation_of(picture, self._codec)

    @property
    def context_frames(self) -> int:
        """How many pictures before the wanted one have to be read after a seek."""
        return CONTEXT_FRAMES if self._is_woven else 0

    @property
    def may_jump(self) -> bool:
        """The timestamps may jump where files were joined."""
        return self._may_jump

    @property
    def nominal_duration(self) -> int:
        """A frame's duration at the frame rate that the codec claims, in units of `time_base`; at least 1."""
        if self._is_still:
            return 1
        rate = self._stream.guessed_rate or self._stream.average_rate or _FALLBACK_RATE
        return max(1, round(1 / (rate * self.time_base)))

    @property
    def is_shuffled(self) -> bool:
        """The pictures' pts may not ascend, because the file gives them in the order of decoding."""
        if self._is_still:
            return False
        return self._container.format.name in _IN_DECODING_ORDER and self._stream.codec_context.has_b_frames

    @property
    def shown_pts(self) -> int | None:
        """The pts at which the last picture is shown; None where it has none, or after a seek in a shuffled stream."""
        return self._shown

    def restart(self) -> None:
        """Open the file anew and begin with its first picture."""
        self._pictures = iter(())
        self._unshown, self._shown = [], None
        self._stack.close()
        hardware = self._open_hardware(self._has_fallback)
        self._container: InputContainer = self._stack.enter_context(open_media(self._path, hardware))
        stream = video_stream(self._container, self._track)
        if stream is None:
            raise NoVideoError(f"{self._path} holds no video", "give a video or an image of a face")
        pixels = stream.width * stream.height or _SLICED_PX + 1  # of a PNG's they are known later
        stream.thread_type = "AUTO" if pixels <= _SLICED_PX else "SLICE"
        # A trial reads FFmpeg's log. PyAV holds the interpreter's lock while it ends a decoder's threads, and waits for
        # ever for one that logs meanwhile.
        is_trial = not self._has_fallback
        is_single = hardware or is_trial or pixels <= SMALL_PX
        stream.codec_context.thread_count = 1 if is_single else codec_threads()
        with self._clock.adopting(DECODE_STAGE):
            stream.codec_context.open(strict=False)
        self._stream: VideoStream = stream
        self._file_clock = clock_of(self._path, self._container)
        self._codec, self._may_jump = stream.codec_context.name, may_jump(self._container)
        self._is_still = is_still(self._container, self._path)
        if self._is_still:
            self._pictures = _let_go(list(self._still_pictures(stream)))
            self._stack.close()
            del stream, self._stream, self._container  # the decoder keeps its picture, and the file's bytes
        else:
            self._pictures = self._whole(self._decode())

    def seek(self, pts: int) -> bool:
        """Seek to a key frame near or before `pts` (as stored); False if the file is not seekable.

        The caller identifies the next picture by its pts: pictures before `pts` may be left out, and those before
        the first key frame may be damaged.
        """
        self._pictures = iter(())
        self._unshown = None
        if self._is_still or self._file_clock.jumps:
            return False
        try:
            self._container.seek(pts, stream=self._stream)
        except av.FFmpegError as exc:
            _log.debug("%s is not seekable: %s", self._path, exc)
            return False
        self._pictures = self._whole(self._decode(skip_before=pts))
        return True

    def leave_out_unreferenced(self) -> None:
        """Begin without the pictures that no other refers to, half of most videos, where the decoder can tell them."""
        if not self._is_still:
            self._pictures = self._whole(self._decode(skip_before=_LAST_PTS))

    @property
    def first_time(self) -> int:
        """When the stream begins, as the file states it, in units of `time_base`; 0 if it does not."""
        return self._stream.start_time or 0

    def packets(self) -> "Iterator[av.Packet[VideoStream]] | None":
        """The packets from the present position on, instead of their pictures; None where their times jump."""
        self._pictures = iter(())
        return None if self._file_clock.jumps else shown_packets(self._container, self._stream, self._path)

    def _shown_pts_of(self, picture: av.VideoFrame) -> int | None:
        """Pictures come in the order of display, so the pts of the packets are theirs in ascending order."""
        if not self.is_shuffled or picture.pts is None:
            return picture.pts
        if self._unshown is None:
            return None
        while self._shown is None and self._unshown and self._unshown[0] < picture.pts:
            heappop(self._unshown)  # of pictures before the first that lack their references
        return heappop(self._unshown) if self._unshown else picture.pts

    def _still_pictures(self, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """The one picture of an image; none where it is damaged."""
        still = converted_still(self._path, stream)
        return islice(self._decode(), 1) if still is None else iter([still.picture])

    def _whole(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        return deinterlaced(pictures) if self._is_woven else pictures

    def _decode(self, skip_before: int = _NO_PTS) -> Iterator[av.VideoFrame]:
        codec = self._stream.codec_context
        can_skip = can_skip_non_reference(codec)
        for packet in shown_packets(self._container, self._stream, self._path):
            if not packet.size:
                break  # the end
            self._file_clock.mend(packet)
            is_early = can_skip and packet.pts is not None and packet.pts < skip_before
            codec.skip_frame = "NONREF" if is_early else "DEFAULT"
            if self._unshown is not None and packet.pts is not None and self.is_shuffled:
                heappush(self._unshown, packet.pts)
            yield from _let_go(self._decoded(packet))
        yield from self._flushed()

    def _decoded(self, packet: "av.Packet[VideoStream]") -> list[av.VideoFrame]:
        try:
            if packet.is_keyframe:
                self._key_packet = packet
            return [frame for frame in decoded(packet) if isinstance(frame, av.VideoFrame)]
        except SIZE_ERRORS as exc:
            for each in {packet, self._key_packet or packet}:
                self._damaged_packets.note(each)
            if not isinstance(exc, av.error.InvalidDataError):
                raise
            self._note_damage(f"near pts {packet.pts}", exc)
            return []

    def _flushed(self) -> Iterator[av.VideoFrame]:
        for _ in range(_MAX_FLUSHES):
            try:
                yield from self._stream.codec_context.decode(None)
            except av.error.EOFError:
                return
            except av.error.InvalidDataError as exc:
                self._note_damage("near the end", exc)
            else:
                return

    def _note_damage(self, where: str, exc: av.FFmpegError) -> None:
        require_no_shortage(exc)  # else the picture would be missing
        self._damaged += 1
        _log.warning("%s: skipped a damaged picture %s: %s", self._path, where, exc.strerror)


def _let_go(pictures: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Each picture in order, not held any longer: a large one takes much memory."""
    pictures.reverse()
    while pictures:
        yield pictures.pop()
