"""Whether a stream of an open file can be read at all, and whether it is within the limits.

A message that begins with "its" gets the file's name where the file was opened: `opening.reading`.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import inf

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from lipsync_core.limit_errors import (
    ChannelLimitError,
    DurationLimitError,
    FrameLimitError,
    FrameRateLimitError,
    PixelLimitError,
    SampleRateLimitError,
)
from lipsync_core.limits import Limits, limits
from lipsync_core.media.allowed import allowed

_USUAL_RATE_HZ = 48_000  # of films
_COUNTED_FRAMES = 100  # that may come at once, before their rate is known


def is_readable(stream: VideoStream | AudioStream) -> bool:
    """Whether the stream has a decoder that is allowed, and a format that it can decode."""
    return not _fault(stream)


def unreadable_streams(container: InputContainer) -> tuple[str, ...]:
    """The streams of picture and sound that are not read, each with the reason, in words."""
    return tuple(_unreadable(container))


def require_within_limits(stream: VideoStream | AudioStream) -> None:
    """Refuse a stream that is to be read and is beyond a limit by its own account.

    Raises:
        PixelLimitError, FrameRateLimitError, ChannelLimitError, SampleRateLimitError: of the stream.
    """
    if isinstance(stream, VideoStream):
        require_pixels(stream.width, stream.height)
    else:
        require_sound(stream.codec_context.layout.nb_channels, stream.codec_context.sample_rate)


def require_pixels(width_px: int, height_px: int) -> None:
    """Raise PixelLimitError where a picture of this size is beyond the limit."""
    most = limits().max_pixels
    if width_px * height_px > most:
        raise PixelLimitError(f"its picture has {width_px}x{height_px} pixels, more than {most}", "scale it down")


def require_sound(channels: int, rate_hz: int) -> None:
    """Raise ChannelLimitError or SampleRateLimitError where a sound, or a frame of it, is beyond a limit."""
    present = limits()
    if channels > present.max_channels:
        raise ChannelLimitError(
            f"its sound has {channels} channels, more than {present.max_channels}",
            f"mix it to {present.max_channels} or fewer",
        )
    if not present.min_sample_rate_hz <= rate_hz <= present.max_sample_rate_hz:
        raise SampleRateLimitError(
            f"its sound has {rate_hz} samples a second, not {present.min_sample_rate_hz} to "
            f"{present.max_sample_rate_hz}",
            f"convert it to {_usual_rate_hz(present)}",
        )


def require_duration(duration_s: Fraction, name: str) -> None:
    """Raise DurationLimitError where the input called `name` plays for so long; what is decoded counts, or stated."""
    most_s = limits().max_duration_s
    if duration_s > most_s:
        raise DurationLimitError(f"{name} plays longer than {most_s:g} s", "cut it into shorter files")


def require_decoded(frames: int, until_s: Fraction, name: str) -> None:
    """Refuse a video of which so many frames have been decoded, the last of which begins at `until_s`.

    Raises:
        DurationLimitError, FrameLimitError, FrameRateLimitError: it is beyond a limit.
    """
    require_duration(until_s, name)
    require_frames(frames, name)
    if frames > _COUNTED_FRAMES:
        require_frame_rate(frames / float(until_s) if until_s else inf, f"{name} has")


def require_planned(frames: int, duration_s: Fraction) -> None:
    """Refuse a result of so many frames, before they are laid out.

    Raises:
        FrameLimitError, FrameRateLimitError: it is beyond a limit.
    """
    require_frames(frames, "the result")
    if frames > _COUNTED_FRAMES and (frames - _COUNTED_FRAMES) / float(duration_s) > limits().max_frame_rate:
        remedy = "choose fewer with fps, or convert the video to fewer"
        require_frame_rate(frames / float(duration_s), "the result would have", remedy)


def require_frames(frames: int, name: str) -> None:
    """Raise FrameLimitError where so many frames are beyond the limit."""
    most = limits().max_frames
    if frames > most:
        raise FrameLimitError(f"{name} has more than {most} frames", "use a shorter part, or fewer frames a second")


def require_frame_rate(frames: float, stated: str, remedy: str = "convert it to fewer frames a second") -> None:
    """Raise FrameRateLimitError where `frames` a second are beyond the limit; `stated` is who says so."""
    most = limits().max_frame_rate
    if frames > most:
        raise FrameRateLimitError(f"{stated} {frames:.6g} frames a second, more than {most}", remedy)


def _usual_rate_hz(present: Limits) -> int:
    return min(max(_USUAL_RATE_HZ, present.min_sample_rate_hz), present.max_sample_rate_hz)


def _unreadable(container: InputContainer) -> Iterator[str]:
    for kind, streams in (("video", container.streams.video), ("audio", container.streams.audio)):
        for stream in streams:
            fault = _fault(stream)
            if fault:
                yield f"{kind} stream {stream.index}: {fault}"


def _fault(stream: VideoStream | AudioStream) -> str:
    """Why the stream cannot be read; empty where it can."""
    codec = stream.codec_context
    if codec is None:  # PyAV's stubs say that there is always one
        return "FFmpeg has no decoder for it"
    if not allowed().decodes(codec.name):
        return f"the codec {codec.name} is not read here; LIPSYNC_ALLOW_DECODERS allows more"
    if isinstance(stream, VideoStream):
        return ""
    sound = stream.codec_context
    is_whole = sound.layout is not None and sound.layout.nb_channels > 0 and sound.sample_rate > 0
    return "" if is_whole else "it states no channels or no rate"
