"""The encoders: x264 and x265 on the CPU, NVENC on NVIDIA's GPUs."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Self

import av
import cv2
from av.container import OutputContainer
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError, OutputError
from lipsync_core.media.encode import Encoder, EncoderOptions, FFmpegEncoder, PictureSpec
from lipsync_core.media.hdr import HdrLight
from lipsync_core.native_stderr import held_stderr
from lipsync_core.option_specs import DEFAULT_PRESET, MAX_CRF
from lipsync_core.shortage import is_limited, require_room

#: OpenCV's CV_CPU_AVX512_SKX: the parts F, CD, BW, DQ and VL, all of which x264 asks for before it uses any.
_AVX512 = 256
_WHOLE_WIDTH_PX = 128
#: Of larger pictures x264 holds as few as it can: each takes it 26 MB or, as a reference, 48 at level 5.2's largest.
_SLICED_PX, _LARGE_PX = 2560 * 1440, 3840 * 2160
_SLICES = 4
_JOIN_BITS = 1.4  # of what a picture would have
#: The address space of x265's threads, and the pictures that it may come to hold.
_X265_BYTES, _X265_PICTURES = 256 << 20, 64
#: The sample entry that Apple's players want for HEVC; FFmpeg's own choice in MP4 is hev1.
_HVC1 = "hvc1"
#: NVENC's presets, p1 (fastest) to p7, for x264's names.
_NVENC_PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "ultrafast": "p1",
        "superfast": "p2",
        "veryfast": "p3",
        "faster": "p4",
        "fast": "p4",
        "medium": "p5",
        "slow": "p6",
        "slower": "p7",
        "veryslow": "p7",
    }
)
#: NVENC's input format for each working format that most cards encode, with the same samples.
_NVENC_FORMATS: Mapping[str, str] = MappingProxyType(
    {"yuv420p": "yuv420p", "yuv444p": "yuv444p", "yuv420p10le": "p010le"}
)


class X264Encoder(FFmpegEncoder):
    """H.264 by libx264 on the CPU."""

    name: ClassVar[str] = "x264"
    library: ClassVar[str] = "libx264"

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """See `FFmpegEncoder.settings`."""
        lean = _lean(spec, options.preset)
        # At 10 bits crf 0 is not lossless.
        quality = {"crf": f"{max(options.crf - lean.finer, 1):g}"} if options.crf else {"qp": "0"}
        params = {**lean.params, **_repeatable(spec), **_zones(options.before_a_join)}
        own = {"x264-params": ":".join(f"{key}={value}" for key, value in params.items())} if params else {}
        return {"preset": options.preset, **quality, **own}

    @classmethod
    def threading(cls, spec: PictureSpec, options: EncoderOptions) -> tuple[str, int]:
        """See `FFmpegEncoder.threading`.

        Each frame thread holds pictures of its own; slices of one picture do not, and cost nothing where a picture is
        large. Their number is the same on every machine, so that the stream is.
        """
        if _pixels(spec) <= _SLICED_PX:
            return super().threading(spec, options)
        return "SLICE", min(options.threads or _SLICES, _SLICES)

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """See `Encoder.open`."""
        with _quiet():
            return super().open(container, spec, options, clock)

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """See `Encoder.encode`."""
        with _quiet():
            return super().encode(picture, pts, duration)


class X265Encoder(FFmpegEncoder):
    """HEVC by libx265 on the CPU."""

    name: ClassVar[str] = "x265"
    library: ClassVar[str] = "libx265"
    codec_tag: ClassVar[str | None] = _HVC1

    def __init__(self, stream: VideoStream, spec: PictureSpec, clock: StageClock) -> None:
        super().__init__(stream, spec, clock)
        self._has_begun = False  # a packet is out

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """See `Encoder.open`. Where a thread of x265 does not start, its opening never ends: memory is asked for first.

        Raises:
            MemoryShortageError: it would not suffice.
        """
        picture_bytes = _pixels(spec) * VideoFormat(spec.pix_fmt).padded_bits_per_pixel // 8
        require_room(_X265_BYTES + _X265_PICTURES * picture_bytes)
        return super().open(container, spec, options, clock)

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """See `FFmpegEncoder.settings`."""
        # x265 writes its log to standard error itself. Closed groups of pictures can be cut at every key frame.
        # Without a text that names processor and threads the headers of all machines are equal, as joins need them.
        own = {"log-level": "none", "open-gop": "0", "info": "0"}
        if options.crf == 0:
            own["lossless"] = "1"  # crf 0 alone is not
        if options.threads:
            own["pools"] = str(options.threads)
        if spec.light is not None:
            own.update(_light(spec.light))
        params = ":".join(f"{key}={value}" for key, value in own.items())
        return {"preset": options.preset, "crf": f"{_x265_crf(options.crf):.2f}", "x265-params": params}

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """See `Encoder.encode`."""
        packets = super().encode(picture, pts, duration)
        self._has_begun = self._has_begun or bool(packets)
        return packets

    def flush(self) -> list[av.Packet[VideoStream]]:
        """See `Encoder.flush`.

        A movie of a few pictures gets its decoding times here: x265 (4.2) subtracts a delay that it learns from the
        third picture or so, and until then reads from memory that was never written.
        """
        packets = super().flush()
        if not self._has_begun:
            _set_decoding_times(packets)
        return packets


class H264Nvenc(FFmpegEncoder):
    """H.264 by NVENC, on a GPU of NVIDIA's that has an encoder."""

    name: ClassVar[str] = "h264_nvenc"
    library: ClassVar[str] = "h264_nvenc"

    @classmethod
    def input_format(cls, pix_fmt: str) -> str:
        """See `FFmpegEncoder.input_format`. Raises OutputError where NVENC has none."""
        if pix_fmt not in _NVENC_FORMATS:
            formats = ", ".join(_NVENC_FORMATS)
            raise OutputError(f"{cls.name} does not take {pix_fmt}, but {formats}", "choose another encoder")
        return _NVENC_FORMATS[pix_fmt]

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """See `FFmpegEncoder.settings`."""
        # Without B-frames every decoding time is the time of display, at any frame rate, a variable one too.
        own = {"preset": _NVENC_PRESETS[options.preset], "bf": "0"}
        if options.crf == 0:
            return {**own, "tune": "lossless", "rc": "constqp", "qp": "0"}
        return {**own, "rc": "vbr", "cq": str(options.crf), "b": "0"}


class HevcNvenc(H264Nvenc):
    """HEVC by NVENC."""

    name: ClassVar[str] = "hevc_nvenc"
    library: ClassVar[str] = "hevc_nvenc"
    codec_tag: ClassVar[str | None] = _HVC1


#: Encoders by name.
ENCODERS: Mapping[str, type[Encoder]] = MappingProxyType(
    {encoder.name: encoder for encoder in (X264Encoder, X265Encoder, H264Nvenc, HevcNvenc)}
)


def find_encoder(name: str) -> type[Encoder]:
    """The encoder called `name`.

    Raises:
        OptionError: there is none.
    """
    if name not in ENCODERS:
        raise OptionError(f"encoder is {name!r}", f"choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name]


def _x265_crf(crf: int) -> float:
    """x265's own value for the quality, by PSNR, that x264 has at `crf`: benchmarks/encoders.py, docs/encoders.md."""
    return min(max((8 * crf - 12) / 7, 0.0), float(MAX_CRF))


def _light(light: HdrLight) -> dict[str, str]:
    """x265's own settings for the light of HDR."""
    said = {"master-display": light.screen, "max-cll": light.content}
    return {"hdr10": "1", **{name: value for name, value in said.items() if value is not None}}


def _set_decoding_times(packets: list[av.Packet[VideoStream]]) -> None:
    """Decode in the order of `packets`, at the times of display, all earlier by as much as the order asks for."""
    shown = [packet.pts or 0 for packet in packets]
    ascending = sorted(shown)
    delay = max((at - pts for at, pts in zip(ascending, shown, strict=True)), default=0)
    for packet, at in zip(packets, ascending, strict=True):
        packet.dts = at - delay


def _quiet() -> AbstractContextManager[object]:
    """Hold back the line that x264 writes on standard error where it is refused memory; the error tells it."""
    if not is_limited():
        return nullcontext()
    return held_stderr(lambda line: line.startswith("x264 [error]: malloc"))


@dataclass(frozen=True, slots=True)
class _Lean:
    """x264's own settings that hold fewer pictures, and by how much crf is lowered for the same quality."""

    params: Mapping[str, str]
    finer: float = 0.0


_AS_PRESET = _Lean({})
_LEAN = _Lean({"bframes": "2", "b-pyramid": "none", "rc-lookahead": "7"})
# With a shorter lookahead x264 finds less that later pictures refer to, and codes it more coarsely.
_LEAN_LARGE = _Lean({**_LEAN.params, "rc-lookahead": "4"}, finer=1.25)
_LEAN_STILL = _Lean({"bframes": "0", "weightp": "0", "rc-lookahead": "1"}, finer=4.0)


def _lean(spec: PictureSpec, preset: str) -> _Lean:
    """The settings for the default preset; others keep theirs: docs/decisions.md, "The service", "Large pictures"."""
    if preset != DEFAULT_PRESET:
        return _AS_PRESET
    if _pixels(spec) <= _SLICED_PX:
        return _LEAN
    if spec.is_still:
        return _LEAN_STILL
    return _LEAN_LARGE if _pixels(spec) > _LARGE_PX else _LEAN


def _pixels(spec: PictureSpec) -> int:
    return spec.width_px * spec.height_px


def _zones(before_a_join: range) -> dict[str, str]:
    """x264's own setting by which the last pictures before a join look as in a movie without one.

    They would have fewer bits than there: x264 sees nothing that refers to them.
    """
    if not before_a_join:
        return {}
    return {"zones": f"{before_a_join.start},{before_a_join.stop - 1},b={_JOIN_BITS}"}


def _repeatable(spec: PictureSpec) -> dict[str, str]:
    """x264's own settings with which it gives the same stream for the same pictures each time.

    Its AVX-512 code for 8 bits reads memory that was never written, and chooses frame types and bits by it (x264 165,
    seen at most widths that are no multiple of 128, at none that is). Without that code it takes 8 % more CPU time.
    """
    is_whole = spec.width_px % _WHOLE_WIDTH_PX == 0 or VideoFormat(spec.pix_fmt).components[0].bits > 8
    return {} if is_whole or not cv2.checkHardwareSupport(_AVX512) else {"asm": "avx2"}
