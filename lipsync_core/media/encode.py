"""The contract of encoders, which compress pictures into a video stream, and the part that they share."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol, Self, cast

import av
from av.codec.codec import codecs_available
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import OutputError, RefusedOutputError
from lipsync_core.media.hdr import HdrLight
from lipsync_core.media.probe import ColourTags
from lipsync_core.media.tracks import mp4_language
from lipsync_core.option_specs import DEFAULT_PRESET

ENCODE_STAGE = "encode"


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
    light: HdrLight | None = None  # of HDR
    language: str = ""  # of the picture track; empty where the source names none
    is_still: bool = False  # all are made from one image, and differ in the face alone


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """The encoder by its name in `encoders.ENCODERS`, its quality and its speed, on x264's scales."""

    encoder: str = "x264"
    crf: int = 20  # 0 is lossless, 51 the worst
    preset: str = DEFAULT_PRESET
    threads: int = 0  # of an encoder on the CPU; 0: as many as it chooses for the machine's cores
    before_a_join: range = range(0)  # pictures at the end of a segment of a movie, where another one follows


@dataclass(frozen=True, slots=True)
class MovieStream:
    """What a movie says of its pictures beside their stream's own properties."""

    time_base: Fraction
    language: str
    rotation_deg: int

    @classmethod
    def of(cls, spec: PictureSpec) -> MovieStream:
        """That of pictures of `spec`."""
        return cls(spec.time_base, spec.language, spec.rotation_deg)


class Encoder(Protocol):
    """Turns pictures into packets of one video stream of a container.

    `tests/media/test_encode.py` holds the suite that every implementation passes.
    """

    name: ClassVar[str]
    library: ClassVar[str]  # FFmpeg's name for it

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


class FFmpegEncoder:
    """An encoder of FFmpeg, open on one stream: the part that all implementations share."""

    name: ClassVar[str]  # as reports have it
    library: ClassVar[str]  # FFmpeg's name for it
    codec_tag: ClassVar[str | None] = None  # the sample entry in MP4 and MOV; None: FFmpeg's choice

    def __init__(self, stream: VideoStream, spec: PictureSpec, clock: StageClock) -> None:
        self._stream = stream
        self._spec = spec
        self._clock = clock
        self._last_duration = 0
        self._format = self.input_format(spec.pix_fmt)
        self._reformatter = VideoReformatter()

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """The encoder's own options, by FFmpeg's names."""
        raise NotImplementedError

    @classmethod
    def threading(cls, spec: PictureSpec, options: EncoderOptions) -> tuple[str, int]:
        """FFmpeg's kind of threads, and their number; 0: as many as the encoder chooses."""
        # Frame threads, as the ffmpeg command line has. PyAV's default, slices, costs quality and some time.
        return "AUTO", options.threads

    @classmethod
    def input_format(cls, pix_fmt: str) -> str:
        """The format in which the encoder takes pictures in `pix_fmt`: one that holds the same samples."""
        return pix_fmt

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """See `Encoder.open`."""
        if cls.library not in codecs_available:
            raise OutputError(f"this build of PyAV has no {cls.library}", "install the wheel of the package av")
        stream = cast(VideoStream, container.add_stream(cls.library, rate=spec.frame_rate))
        codec = stream.codec_context
        _configure(stream, spec)
        codec.pix_fmt = cls.input_format(spec.pix_fmt)
        codec.options = cls.settings(spec, options)
        codec.thread_type, codec.thread_count = cls.threading(spec, options)
        if cls.codec_tag:
            codec.codec_tag = cls.codec_tag
        with clock.stage(ENCODE_STAGE), clock.adopting(ENCODE_STAGE):
            try:
                codec.open()
            except av.FFmpegError as exc:
                kind = f"{spec.width_px}x{spec.height_px} {spec.pix_fmt}, preset {options.preset}, crf {options.crf}"
                raise RefusedOutputError(f"{cls.name} cannot encode {kind}", "check size, preset and crf") from exc
        return cls(stream, spec, clock)

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """See `Encoder.encode`."""
        _check(picture, pts, self._spec)
        with self._clock.stage(ENCODE_STAGE, items=1):
            if self._format != self._spec.pix_fmt:
                picture = self._reformatter.reformat(picture, format=self._format, threads=1)
            picture.pts = pts
            picture.duration = self._last_duration = duration
            picture.time_base = self._spec.time_base
            # A decoded picture keeps its type, and an encoder would be bound by it.
            picture.pict_type = PictureType.NONE
            return self._stream.encode(picture)

    def flush(self) -> list[av.Packet[VideoStream]]:
        """See `Encoder.flush`."""
        with self._clock.stage(ENCODE_STAGE):
            packets = self._stream.encode(None)
        if packets:  # there is none only if no picture was reordered
            packets[-1].duration = self._last_duration
        return packets


def _configure(stream: VideoStream, spec: PictureSpec) -> None:
    """Set the properties of the stream's pictures, not the options of their compression."""
    codec = stream.codec_context
    codec.width, codec.height, codec.pix_fmt = spec.width_px, spec.height_px, spec.pix_fmt
    codec.time_base = spec.time_base
    codec.sample_aspect_ratio = spec.sample_aspect_ratio
    codec.colorspace, codec.color_range = spec.colour.matrix, spec.colour.range
    codec.color_primaries, codec.color_trc = spec.colour.primaries, spec.colour.transfer
    codec.flags |= Flags.frame_duration  # or the last picture would last as long as the nominal rate says
    set_stream(stream, MovieStream.of(spec))


def set_stream(stream: VideoStream, said: MovieStream) -> None:
    """Set what the movie says of a stream of pictures."""
    stream.time_base = said.time_base
    if mp4_language(said.language):
        stream.metadata["language"] = mp4_language(said.language)
    if said.rotation_deg % 360:
        stream.set_display_rotation(said.rotation_deg)


def _check(picture: av.VideoFrame, pts: int, spec: PictureSpec) -> None:
    """Refuse a picture that the codec would silently scale or convert."""
    found = (picture.width, picture.height, picture.format.name)
    if found != (spec.width_px, spec.height_px, spec.pix_fmt):
        raise OutputError(
            f"the picture at pts {pts} is {found[0]}x{found[1]} {found[2]}, "
            f"the movie {spec.width_px}x{spec.height_px} {spec.pix_fmt}"
        )
