"""Opens and probes media files, and translates FFmpeg's errors; the core opens files for reading only here."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from lipsync_core.errors import (
    InputError,
    InputMissingError,
    NoAudioError,
    NotAFileError,
    NoVideoError,
    TruncatedMediaError,
    UnreadableMediaError,
)
from lipsync_core.media.channel_order import forget_own_orders
from lipsync_core.media.extras import NO_EXTRAS, Extras, extras_of
from lipsync_core.media.first_frame import first_frame
from lipsync_core.media.hdr import HdrLight, hdr_light
from lipsync_core.media.orientation import SAFE_CODECS, Orientation, orientation_of
from lipsync_core.media.stills import ConvertedStill, converted_still, is_heif_still
from lipsync_core.media.tracks import (
    TrackInfo,
    audio_stream,
    audio_tracks,
    codec_name,
    frame_rate_of,
    require_audio_stream,
    video_stream,
    video_tracks,
)
from lipsync_core.media.truncation import is_missing_index, is_missing_samples

_FALLBACK_RATE = Fraction(25)
# A file name is never a list of files or an address, and a playlist inside a file never leads to the network.
_OPEN_OPTIONS = {"protocol_whitelist": "file", "pattern_type": "none"}
_SCHEME = "file:"
_IMAGE_BY_NAME = "image2"
# First bytes of image files (their specifications) and FFmpeg's demuxer for each.
_IMAGE_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "png_pipe"),
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"RIFF", "webp_pipe"),
    (b"BM", "bmp_pipe"),
)
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


def probe(path: Path, video_track: str | None = None, audio_track: str | None = None) -> MediaInfo:
    """Read the properties of the media file `path`; tracks are chosen as by `tracks.video_stream`.

    Raises:
        OptionError: the file has no such track.
        InputMissingError: there is no such file, or this user may not read it.
        NotAFileError: the path is a directory or a device.
        UnreadableMediaError: the file is empty, or FFmpeg does not know its format.
        TruncatedMediaError: the file ends before its own index says.
    """
    with open_media(path) as container:
        stream = video_stream(container, video_track)
        still = converted_still(path, stream) if stream is not None and is_still(container) else None
        first = still.picture if still else first_frame(container, stream) if stream is not None else None
        tracks = video_tracks(container, video_track)
        number = next((track.number for track in tracks if track.is_chosen), 0)
        sound = audio_stream(container, audio_track)
        return MediaInfo(
            path=path,
            container=container.format.name,
            size_bytes=path.stat().st_size,
            video=_video_info(container, stream, first, number, still) if stream is not None else None,
            audio=_audio_info(container, sound) if sound is not None else None,
            has_picture=first is not None,
            video_tracks=tracks,
            audio_tracks=audio_tracks(container, audio_track),
        )


def require_video(path: Path, track: str | None = None) -> VideoInfo:
    """The video of `path`; raises as `probe` and `video_of`."""
    return video_of(probe(path, video_track=track))


def video_of(media: MediaInfo) -> VideoInfo:
    """The video of a file that has been probed.

    Raises:
        NoVideoError: it has no video stream, or one without a frame.
    """
    if media.video is None:
        raise NoVideoError(f"{media.path} holds no video", "give a video or an image of a face")
    if not media.has_picture:
        raise NoVideoError(f"{media.path} has a video stream without a frame", _GET_A_WHOLE_FILE)
    return media.video


def require_audio(path: Path, track: str | None = None) -> AudioInfo:
    """The audio of `path`, which may be a video file.

    Raises:
        NoAudioError: it has no audio stream, or one without samples.
        InputError: as `probe`.
    """
    with open_media(path) as container:
        stream = require_audio_stream(container, path, track)
        info = _audio_info(container, stream)
        if first_frame(container, stream) is None:
            raise NoAudioError(f"{path} has an audio stream without samples", "give a file with sound in it")
        return info


@contextmanager
def open_media(path: Path, hardware: HWAccel | None = None) -> Iterator[InputContainer]:
    """Open `path` for demuxing and decoding; FFmpeg's errors inside the block become this product's.

    Its video is decoded on `hardware`, where that is given.

    Raises: as `probe`.
    """
    size_bytes = _readable_size(path)
    try:
        with _open(path, hardware) as container:
            if is_missing_samples(container, size_bytes):
                raise TruncatedMediaError(f"{path} is cut off: its index lists more than it holds", _GET_A_WHOLE_FILE)
            forget_own_orders(container)
            yield container
    except av.FFmpegError as exc:
        raise _translated(exc, path) from exc


def is_still(container: InputContainer) -> bool:
    """Whether `container`, which `open_media` has opened, is an image."""
    name = container.format.name
    return name.endswith("_pipe") or name == _IMAGE_BY_NAME or is_heif_still(Path(container.name[len(_SCHEME) :]))


def _readable_size(path: Path) -> int:
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode)):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise NotAFileError(f"{path} is {kind}", "give a media file")
        if not os.access(path, os.R_OK):
            raise InputMissingError(f"{path} may not be read by this user", "check its permissions")
    except FileNotFoundError as exc:
        raise InputMissingError(f"{path} does not exist", "check the name") from exc
    except (OSError, ValueError) as exc:  # a name too long, a folder that may not be entered, a zero byte
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InputMissingError(f"{str(path)!r} cannot be opened: {reason}", "check the name and permissions") from exc
    if status.st_size == 0:
        raise UnreadableMediaError(f"{path} is empty (zero bytes)", _GET_A_WHOLE_FILE)
    return status.st_size


def _open(path: Path, hardware: HWAccel | None) -> InputContainer:
    address = f"{_SCHEME}{path.absolute()}"
    container = av.open(address, options=_OPEN_OPTIONS, metadata_errors="replace", hwaccel=hardware)
    if container.format.name != _IMAGE_BY_NAME:
        return container
    # FFmpeg chose the image format by the ending of the name; known first bytes of the file are more reliable.
    with path.open("rb") as file:
        head = file.read(8)
    image_format = next((name for magic, name in _IMAGE_FORMATS if head.startswith(magic)), None)
    if image_format is None:
        return container
    container.close()
    return av.open(address, format=image_format, options=_OPEN_OPTIONS, metadata_errors="replace")


def _translated(exc: av.FFmpegError, path: Path) -> InputError:
    if is_missing_index(path):
        return TruncatedMediaError(f"{path} is cut off: its index is missing or incomplete", _GET_A_WHOLE_FILE)
    return UnreadableMediaError(f"{path} cannot be read as media ({exc.strerror})", "check that FFmpeg can play it")


def _video_info(
    container: InputContainer,
    stream: VideoStream,
    first: av.VideoFrame | av.AudioFrame | None,
    track: int,
    still: ConvertedStill | None,
) -> VideoInfo:
    codec = stream.codec_context
    is_image = is_still(container)
    # PyAV shows the display matrix on decoded pictures only, and the size of a tile for that of an image in tiles.
    picture = first if isinstance(first, av.VideoFrame) else None
    turned = orientation_of(picture, codec.name) if picture else Orientation(0, is_mirrored=False)
    shown = picture if picture and is_image else codec
    return VideoInfo(
        codec=codec_name(stream),
        width_px=shown.width,
        height_px=shown.height,
        pix_fmt=(shown.format.name if isinstance(shown, av.VideoFrame) else shown.pix_fmt) or "none",
        # FFmpeg says 1 frame/s of a HEIC picture: a mouth needs more.
        frame_rate=_FALLBACK_RATE if is_image else frame_rate_of(stream),
        time_base=1 / _FALLBACK_RATE if is_image else stream.time_base or 1 / _FALLBACK_RATE,
        frame_count=1 if is_image else stream.frames or None,
        duration_s=_duration_s(container, stream),
        rotation_deg=turned.rotation_deg,
        is_mirrored=turned.is_mirrored,
        track=track,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        colour=ColourTags(
            int(shown.colorspace), int(shown.color_range), int(shown.color_primaries), int(shown.color_trc)
        ),
        is_still=is_image,
        extras=extras_of(container),
        says_interlaced=bool(picture and picture.interlaced_frame),
        still_changes=still.changes if still else (),
        light=hdr_light(picture) if picture and codec.name in SAFE_CODECS else None,
    )


def _audio_info(container: InputContainer, stream: AudioStream) -> AudioInfo:
    codec = stream.codec_context
    return AudioInfo(
        codec=codec_name(stream),
        rate_hz=codec.sample_rate,
        channels=codec.channels,
        layout=codec.layout.name,
        bit_rate=codec.bit_rate or None,
        duration_s=_duration_s(container, stream),
    )


def _duration_s(container: InputContainer, stream: VideoStream | AudioStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None
