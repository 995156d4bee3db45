"""Encoders, which compress pictures into a video stream."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

import av
import cv2
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.format import VideoFormat
from av.video.frame import PictureType
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError, OutputError
from lipsync_core.media.probe import ColourTags

ENCODE_STAGE = "encode"
#: OpenCV's CV_CPU_AVX512_SKX: the parts F, CD, BW, DQ and VL, all of which x264 asks for before it uses any.
_AVX512 = 256
_WHOLE_WIDTH_PX = 128


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """The size, format and timing that all pictures of a movie share."""

    width_px: int
    height_px: int
    pix_fmt: str  # FFmpeg's name, for instance yuv420p or yuv420p10le
    time_base: Fraction  # the unit of pts and duration, s
    frame_rate: Fraction  # nominal, frames/s; the times come from each picture's pts
    sample_aspect_ratio: Fraction  # width / height of one pixel
    rotation_deg: int  # counter-clockwise, as a player has to turn the picture
    colour: ColourTags


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """The encoder by name, its quality (`crf`) and its speed (`preset`)."""

    encoder: str = "x264"
    crf: int = 20
    preset: str = "veryfast"


class Encoder(Protocol):
    """Turns pictures into packets of one video stream of a container.

    `tests/media/test_encode.py` holds the suite that every implementation passes.
    """

    name: ClassVar[str]

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """Add a video stream to `container` and get ready to encode, timed as stage "encode".

        Raises:
            OutputError: this encoder cannot make such pictures.
        """
        ...

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """Take one picture, shown at `pts` for `duration` (units of the time base), and return the finished packets.

        Raises:
            OutputError: the picture does not fit the spec.
        """
        ...

    def flush(self) -> list[av.Packet[VideoStream]]:
        """Every packet still held back; nothing can be encoded afterwards.

        The last packet has the duration of the last picture shown, even if it holds another picture: MP4 stores
        durations in decoding order, and its last entry determines the duration of the movie.
        """
        ...


class X264Encoder:
    """H.264 by libx264 on the CPU."""

    name: ClassVar[str] = "x264"

    def __init__(self, stream: VideoStream, spec: PictureSpec, clock: StageClock) -> None:
        self._stream = stream
        self._spec = spec
        self._clock = clock
        self._last_duration = 0

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """See `Encoder.open`."""
        stream = container.add_stream("libx264", rate=spec.frame_rate)
        _configure(stream, spec)
        stream.codec_context.options = {"preset": options.preset, "crf": str(options.crf), **_repeatable(spec)}
        # Frame threads, as the ffmpeg command line has. PyAV's default, slices, costs quality and some time.
        stream.codec_context.thread_type = "AUTO"
        with clock.stage(ENCODE_STAGE), clock.adopting(ENCODE_STAGE):
            try:
                stream.codec_context.open()
            except av.FFmpegError as exc:
                kind = f"{spec.width_px}x{spec.height_px} {spec.pix_fmt}, preset {options.preset}, crf {options.crf}"
                raise OutputError(f"x264 cannot encode {kind}", "check size, preset and crf") from exc
        return cls(stream, spec, clock)

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """See `Encoder.encode`."""
        _check(picture, pts, self._spec)
        picture.pts = pts
        picture.duration = self._last_duration = duration
        picture.time_base = self._spec.time_base
        # A decoded picture keeps its type, and x264 would be bound by it.
        picture.pict_type = PictureType.NONE
        with self._clock.stage(ENCODE_STAGE, items=1):
            return self._stream.encode(picture)

    def flush(self) -> list[av.Packet[VideoStream]]:
        """See `Encoder.flush`."""
        with self._clock.stage(ENCODE_STAGE):
            packets = self._stream.encode(None)
        if packets:  # there is none only if no picture was reordered
            packets[-1].duration = self._last_duration
        return packets


#: Encoders by the name that a user gives.
ENCODERS: Mapping[str, type[Encoder]] = MappingProxyType({X264Encoder.name: X264Encoder})


def find_encoder(name: str) -> type[Encoder]:
    """The encoder called `name`.

    Raises:
        OptionError: there is none.
    """
    if name not in ENCODERS:
        raise OptionError(f"encoder is {name!r}", f"choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name]


def _repeatable(spec: PictureSpec) -> dict[str, str]:
    """The options with which x264 gives the same stream for the same pictures each time.

    Its AVX-512 code for 8 bits reads memory that was never written, and chooses frame types and bits by it (x264 165,
    seen at most widths that are no multiple of 128, at none that is). Without that code it takes 8 % more CPU time.
    """
    is_whole = spec.width_px % _WHOLE_WIDTH_PX == 0 or VideoFormat(spec.pix_fmt).components[0].bits > 8
    return {} if is_whole or not cv2.checkHardwareSupport(_AVX512) else {"x264-params": "asm=avx2"}


def _configure(stream: VideoStream, spec: PictureSpec) -> None:
    """Set the properties of the stream's pictures, not the options of their compression."""
    codec = stream.codec_context
    codec.width, codec.height, codec.pix_fmt = spec.width_px, spec.height_px, spec.pix_fmt
    codec.time_base = spec.time_base
    codec.sample_aspect_ratio = spec.sample_aspect_ratio
    codec.colorspace, codec.color_range = spec.colour.matrix, spec.colour.range
    codec.color_primaries, codec.color_trc = spec.colour.primaries, spec.colour.transfer
    codec.flags |= Flags.frame_duration  # or the last picture would last as long as the nominal rate says
    stream.time_base = spec.time_base
    if spec.rotation_deg % 360:
        stream.set_display_rotation(spec.rotation_deg)


def _check(picture: av.VideoFrame, pts: int, spec: PictureSpec) -> None:
    """Refuse a picture that the codec would silently scale or convert."""
    found = (picture.width, picture.height, picture.format.name)
    if found != (spec.width_px, spec.height_px, spec.pix_fmt):
        raise OutputError(
            f"the picture at pts {pts} is {found[0]}x{found[1]} {found[2]}, "
            f"the movie {spec.width_px}x{spec.height_px} {spec.pix_fmt}"
        )
