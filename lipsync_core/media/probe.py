"""The properties of media files."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lipsync_core.apart import read_apart
from lipsync_core.errors import (
    NoAudioError,
    NoVideoError,
    RefusedMediaError,
    UnreadableMediaError,
)
from lipsync_core.media.extras import NO_EXTRAS, Extras, extras_of
from lipsync_core.media.first_frame import first_frame
from lipsync_core.media.hdr import HdrLight, dolby_vision, hdr_light
from lipsync_core.media.joins import clock_of
from lipsync_core.media.opening import is_still, open_media
from lipsync_core.media.orientation import UNSAFE_CODECS, Orientation, orientation_of
from lipsync_core.media.starts import may_jump
from lipsync_core.media.stills import ConvertedStill, converted_still
from lipsync_core.media.stream_checks import require_duration, require_frame_rate, require_pixels, unreadable_streams
from lipsync_core.media.tracks import (
    TrackInfo,
    audio_stream,
    audio_tracks,
    codec_name,
    frame_rate_of,
    language_of,
    require_audio_stream,
    require_no_refusal,
    video_stream,
    video_tracks,
)
from lipsync_core.media.transparency import ALPHA_TAG, is_transparent

_FALLBACK_RATE = Fraction(25)
_GET_A_WHOLE_FILE = "copy or download the file again"


@dataclass(frozen=True, slots=True)
class ColourTags:
    """The colour space as FFmpeg's (and H.273's) code points; range is 1 limited, 2 full, 0 unknown."""

    matrix: int
    range: int
    primaries: int
    transfer: int


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """One video stream of a file, as stored: unrotated, before any conversion."""

    codec: str
    width_px: int
    height_px: int
    pix_fmt: str
    frame_rate: Fraction  # the average, frames/s
    time_base: Fraction  # seconds
    frame_count: int | None  # as the file claims
    duration_s: Fraction | None
    rotation_deg: int  # counter-clockwise, as FFmpeg reports the display matrix; what is left of it after a mirror
    sample_aspect_ratio: Fraction  # 1 where unknown
    colour: ColourTags
    is_still: bool  # one image, not a video
    is_mirrored: bool = False  # as stored; decoding flips the pictures
    says_interlaced: bool = False  # the first picture is marked so
    light: HdrLight | None = None  # that HDR pictures were made for
    extras: Extras = NO_EXTRAS  # of its file
    track: int = 0  # its number among the file's, without covers
    language: str = ""  # as the file writes it; empty where it does not say
    still_changes: tuple[str, ...] = ()  # that reading an image has made to its pixels: `stills.ConvertedStill`


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """One audio stream of a file."""

    codec: str
    rate_hz: int
    channels: int
    layout: str
    bit_rate: int | None  # bits/s
    duration_s: Fraction | None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The chosen video and audio stream of a file; the cover image of a piece of music does not count as video."""

    path: Path
    container: str
    size_bytes: int
    video: VideoInfo | None
    audio: AudioInfo | None
    has_picture: bool  # whether a frame of the video decodes
    video_tracks: tuple[TrackInfo, ...] = ()
    audio_tracks: tuple[TrackInfo, ...] = ()
    unreadable: tuple[str, ...] = ()  # streams that are not read, each with the reason


@read_apart
def probe(path: Path, video_track: str | None = None, audio_track: str | None = None) -> MediaInfo:
    """Read the properties of the media file `path`; tracks are chosen as by `tracks.video_stream`.

    Raises:
        OptionError: the file has no such track.
        InputError: as `opening.open_media`.
        RefusedMediaError: it holds picture or sound, and none that can be read.
    """
    with open_media(path) as container:
        stream = video_stream(container, video_track)
        still = converted_still(path, stream) if stream is not None and is_still(container, path) else None
        first = still.picture if still else first_frame(container, stream) if stream is not None else None
        tracks = video_tracks(container, video_track)
        number = next((track.number for track in tracks if track.is_chosen), 0)
        sound = audio_stream(container, audio_track)
        unreadable = unreadable_streams(container)
        if stream is not None and first is None and not (stream.width and stream.height):
            if sound is None:
                raise UnreadableMediaError(
                    f"{path} has a video without a size, of which no picture decodes", _GET_A_WHOLE_FILE
                )
            unreadable, stream = (*unreadable, f"video stream {stream.index}: it has no size"), None
        if stream is None and sound is None:
            require_no_refusal(path, unreadable)
        return MediaInfo(
            path=path,
            container=container.format.name,
            size_bytes=path.stat().st_size,
            video=_video_info(container, stream, first, path, number, still) if stream is not None else None,
            audio=_audio_info(container, sound, path) if sound is not None else None,
            has_picture=first is not None,
            video_tracks=tracks,
            audio_tracks=audio_tracks(container, audio_track),
            unreadable=unreadable,
        )


def require_video(path: Path, track: str | None = None) -> VideoInfo:
    """The video of `path`; raises as `probe` and `video_of`."""
    return video_of(probe(path, video_track=track))


def video_of(media: MediaInfo) -> VideoInfo:
    """The video of a file that has been probed.

    Raises:
        NoVideoError: it has no video stream, or one without a frame.
        RefusedMediaError: it has one that cannot be read.
    """
    if media.video is None:
        require_no_refusal(media.path, media.unreadable, "video")
        raise NoVideoError(f"{media.path} holds no video", "give a video or an image of a face")
    if not media.has_picture:
        raise NoVideoError(f"{media.path} has a video stream without a frame", _GET_A_WHOLE_FILE)
    return media.video


@read_apart
def require_audio(path: Path, track: str | None = None) -> AudioInfo:
    """The audio of `path`, which may be a video file.

    Raises:
        NoAudioError: it has no audio stream, or one without samples.
        InputError: as `probe`.
    """
    with open_media(path) as container:
        stream = require_audio_stream(container, path, track)
        info = _audio_info(container, stream, path)
        if first_frame(container, stream) is None:
            raise NoAudioError(f"{path} has an audio stream without samples", "give a file with sound in it")
        return info


def _video_info(
    container: InputContainer,
    stream: VideoStream,
    first: av.VideoFrame | av.AudioFrame | None,
    path: Path,
    track: int,
    still: ConvertedStill | None,
) -> VideoInfo:
    codec = stream.codec_context
    is_image = is_still(container, path)
    # PyAV shows the display matrix on decoded pictures only, and the size of a tile for that of an image in tiles.
    picture = first if isinstance(first, av.VideoFrame) else None
    turned = orientation_of(picture, codec.name) if picture else Orientation(0, is_mirrored=False)
    shown = picture if picture and is_image else codec
    _require_moderate(stream, shown, path, has_picture=picture is not None)
    return VideoInfo(
        codec=codec_name(stream),
        width_px=shown.width,
        height_px=shown.height,
        pix_fmt=(shown.format.name if isinstance(shown, av.VideoFrame) else shown.pix_fmt) or "none",
        # FFmpeg says 1 frame/s of a HEIC picture: a mouth needs more.
        frame_rate=_FALLBACK_RATE if is_image else frame_rate_of(stream),
        time_base=1 / _FALLBACK_RATE if is_image else stream.time_base or 1 / _FALLBACK_RATE,
        frame_count=1 if is_image else stream.frames or None,
        duration_s=_duration_s(container, stream, path),
        rotation_deg=turned.rotation_deg,
        is_mirrored=turned.is_mirrored,
        track=track,
        language=language_of(stream),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        colour=ColourTags(
            int(shown.colorspace), int(shown.color_range), int(shown.color_primaries), int(shown.color_trc)
        ),
        is_still=is_image,
        extras=extras_of(container, tuple(_lost(stream, picture, still, path)), is_still=is_image),
        says_interlaced=bool(picture and picture.interlaced_frame),
        light=hdr_light(picture) if picture and codec.name not in UNSAFE_CODECS else None,
        still_changes=still.changes if still else (),
    )


def _lost(
    stream: VideoStream, picture: av.VideoFrame | None, still: ConvertedStill | None, path: Path
) -> Iterator[str]:
    """What the pictures hold and those of no result do, in words.

    Raises:
        RefusedMediaError: without it their colours are wrong.
    """
    is_seen_through = still.is_transparent if still else picture is not None and is_transparent(picture)
    if is_seen_through or stream.metadata.get(ALPHA_TAG) == "1":
        yield "transparency"
    has_right_colours = None if picture is None or stream.codec_context.name in UNSAFE_CODECS else dolby_vision(picture)
    if has_right_colours:
        yield "Dolby Vision metadata"
    elif has_right_colours is False:
        message = f"{path} has colours that only Dolby Vision knows (profile 5), and would be shown green and purple"
        raise RefusedMediaError(message, "export it as HDR10, HLG or SDR")


def _require_moderate(
    stream: VideoStream, shown: av.VideoFrame | VideoCodecContext, path: Path, *, has_picture: bool
) -> None:
    """Raise LimitError where a picture, or a video's rate of them, is beyond its limit."""
    require_pixels(shown.width, shown.height)
    # Where timestamps may jump, a file states no rate, and FFmpeg guesses a high one for uneven times.
    if has_picture and not isinstance(shown, av.VideoFrame) and not may_jump(stream.container):
        require_frame_rate(float(frame_rate_of(stream)), f"{path} states")


def _audio_info(container: InputContainer, stream: AudioStream, path: Path) -> AudioInfo:
    codec = stream.codec_context
    return AudioInfo(
        codec=codec_name(stream),
        rate_hz=codec.sample_rate,
        channels=codec.channels,
        layout=codec.layout.name,
        bit_rate=codec.bit_rate or None,
        duration_s=_duration_s(container, stream, path),
    )


def _duration_s(container: InputContainer, stream: VideoStream | AudioStream, path: Path) -> Fraction | None:
    if clock_of(path, container).jumps:  # it would be taken from several clocks
        return None
    if stream.duration and stream.time_base:
        duration_s = stream.duration * stream.time_base
    elif container.duration:
        duration_s = Fraction(container.duration, av.time_base)
    else:
        return None
    require_duration(duration_s, str(path))
    return duration_s
