"""Decodes one packet: looks at it before, and says afterwards where FFmpeg has refused the size of its picture."""

import re
from contextlib import suppress
from typing import Any

import av
from av.video.stream import VideoStream

from lipsync_core.errors import LimitError
from lipsync_core.limit_errors import PixelLimitError
from lipsync_core.limits import Limits, limits
from lipsync_core.media.ffmpeg_log import error_log
from lipsync_core.structure.packets import UNFOLDING_CODECS, check_packet

_REFUSED_SIZE = re.compile(r"Picture size (\d{1,12})x(\d{1,12}) ")
_TRIED_AGAIN = 8  # a damaged film may have a million
_MAX_SAMPLES = 4_000_000  # of one block of sound; the longest of any codec has 1.2 million (Monkey's Audio)


def codec_options(present: Limits) -> dict[str, str]:
    """FFmpeg's own limits, which hold for what a stream turns into while it is decoded."""
    return {"max_pixels": str(present.max_pixels), "max_samples": str(_MAX_SAMPLES)}


def decoded(packet: "av.Packet[Any]") -> list[av.VideoFrame | av.AudioFrame]:
    """The frames that `packet` completes.

    Raises:
        LimitError: it unfolds beyond a limit.
        av.FFmpegError: it is damaged.
    """
    codec = packet.stream.codec_context.name
    if codec in UNFOLDING_CODECS and packet.size:
        try:
            check_packet(codec, bytes(packet), limits())
        except LimitError as exc:
            raise type(exc)(f"a picture cannot be decoded: {exc.message}", exc.remedy) from exc
    return [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame | av.AudioFrame)]


class DamagedPackets:
    """Looks for the size of a picture in the first packets of a stream that do not decode.

    FFmpeg refuses a size by our option, but its error is that of damaged data, and only its log says why. So such a
    packet is decoded once again by itself.
    """

    def __init__(self) -> None:
        self._count = 0

    def note(self, packet: "av.Packet[Any]") -> None:
        """Raise PixelLimitError where `packet`, which did not decode, has more pixels than one may."""
        self._count += 1
        if self._count > _TRIED_AGAIN or not isinstance(packet.stream, VideoStream) or not packet.size:
            return
        codec, present = packet.stream.codec_context, limits()
        alone = codec.codec.create("video")
        alone.extradata, alone.options, alone.thread_count = codec.extradata, codec_options(present), 1
        with error_log() as lines, suppress(av.FFmpegError, ValueError):
            alone.decode(packet)
        require_no_refused_size([text for _, _, text in lines], present)


def require_no_refused_size(log: list[str], present: Limits) -> None:
    """Raise PixelLimitError where FFmpeg's `log` says that a picture has more pixels than one may."""
    for width, height in (map(int, found.groups()) for text in log if (found := _REFUSED_SIZE.search(text))):
        if width * height > present.max_pixels:
            raise PixelLimitError(
                f"it has a picture of {width}x{height} pixels, more than {present.max_pixels}", "scale it down"
            )
