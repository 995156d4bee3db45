"""When the picture and the sound of a file begin, on the clock that both share."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import Container, InputContainer
from av.video.stream import VideoStream

from lipsync_core.apart import read_apart
from lipsync_core.media.decoding import decoded
from lipsync_core.media.first_frame import LOOKED_AT
from lipsync_core.media.opening import is_still, open_media
from lipsync_core.media.tracks import audio_stream, video_stream
from lipsync_core.shortage import require_no_shortage

#: A longer lead is a fault of the timestamps, and none is taken.
MAX_LEAD_S = Fraction(60)
_LEAST_LEAD_S = Fraction(2, 1000)  # Matroska rounds to 1 ms
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT (libavformat/avformat.h)
_WITHOUT_TIMES = "avi"  # it stores no times; FFmpeg makes those of the pictures later by the delay of the B-frames
#: Files often hold the times of decoding, of which FFmpeg makes those of display by a guess that is too early; a
#: picture is shown as the packet is read that lets it leave the decoder.
_ASF = "asf"
#: FFmpeg's encoder is late by one block, and its decoder drops two (libavcodec/wmaenc.c, wmadec.c).
_WMA_CODECS = frozenset({"wmav1", "wmav2"})
#: FFmpeg's names of the containers whose clock begins at 0, so that a sound without pictures may begin later.
_ZERO_BASED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})


@dataclass(frozen=True, slots=True)
class FileStarts:
    """How long after a file's time 0 its picture and its sound begin, in seconds; 0 for what it does not have.

    Time 0 is where the first of both begins, as players and FFmpeg have it. A sound by itself begins there too, unless
    its container counts from 0: what was cut from a film as such a file keeps its place.
    """

    picture_s: Fraction = Fraction(0)
    sound_s: Fraction = Fraction(0)
    language: str = ""  # of its sound, as the file writes it
    may_jump: bool = False  # the timestamps of its format may jump where files were joined, as in transport streams


def file_starts(path: Path, video_track: str | None = None, audio_track: str | None = None) -> FileStarts:
    """Find the first picture and the first audible sample of `path`; a file is opened for that once.

    The tracks are as for `tracks.video_stream` and `tracks.audio_stream`.

    Raises:
        InputError: as `probe.probe`.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # the opening says what is wrong
        return _found_starts(path, (0, 0), video_track, audio_track)
    return _found_starts(path, (status.st_size, status.st_mtime_ns), video_track, audio_track)


@lru_cache(maxsize=16)
def _found_starts(
    path: Path, _version: tuple[int, int], video_track: str | None, audio_track: str | None
) -> FileStarts:
    return _look_for_starts(path, video_track, audio_track)


@read_apart
def _look_for_starts(path: Path, video_track: str | None, audio_track: str | None) -> FileStarts:
    with open_media(path) as container:
        picture = None if is_still(container, path) else video_stream(container, video_track)
        sound = audio_stream(container, audio_track)
        language = "" if sound is None else sound.metadata.get("language", "")
        is_zero_based, jumps = container.format.name in _ZERO_BASED, may_jump(container)
        picture_s, sound_s = _first_times(container, picture, sound)
        wma_lead_s = _wma_lead_s(sound, sound_s)
        if container.format.name == _WITHOUT_TIMES and picture is not None and picture.start_time is not None:
            picture_s = picture.start_time * (picture.time_base or Fraction(1))
    if sound_s is None:
        return FileStarts(may_jump=jumps)
    if picture_s is None:
        lead_s = sound_s if is_zero_based else wma_lead_s
        return FileStarts(sound_s=_lead(lead_s), language=language, may_jump=jumps)
    zero_s = min(picture_s, sound_s)
    return FileStarts(_lead(picture_s - zero_s), _lead(sound_s - zero_s), language, jumps)


def may_jump(container: Container) -> bool:
    """Whether the timestamps of the container's format may jump where files were joined, as in transport streams."""
    return bool(container.format.flags & _TS_DISCONT)


def _lead(lead_s: Fraction) -> Fraction:
    return lead_s if _LEAST_LEAD_S <= lead_s <= MAX_LEAD_S else Fraction(0)


def _wma_lead_s(sound: AudioStream | None, first_s: Fraction | None) -> Fraction:
    """How much of the beginning of WMA the decoder drops, beside the encoder's delay; 0 for other codecs."""
    if sound is None or first_s is None or sound.codec_context.name not in _WMA_CODECS:
        return Fraction(0)
    return (first_s - (sound.start_time or 0) * (sound.time_base or Fraction(0))) / 2


def _first_times(
    container: InputContainer, picture: VideoStream | None, sound: AudioStream | None
) -> tuple[Fraction | None, Fraction | None]:
    """The times of the first frames that decode; None without a stream, a frame or a time."""
    wanted = [stream for stream in (picture, sound) if stream is not None]
    if not wanted:  # PyAV would give the packets of all streams
        return None, None
    found: dict[int, Fraction | None] = {}
    for stream in wanted:
        stream.codec_context.thread_count = 1  # more threads would hold the first frame back
    for packet in islice(container.demux(wanted), LOOKED_AT):
        index = packet.stream.index
        if index not in found:
            found.update((index, time_s) for time_s in _first_time(packet, container.format.name == _ASF))
        elif _is_late(packet, found[index]):
            break  # the other stream begins too late, or is empty
        if len(found) == len(wanted):
            break
    picture_s = None if picture is None else found.get(picture.index)
    return picture_s, None if sound is None else found.get(sound.index)


def _is_late(packet: av.Packet[Any], first_s: Fraction | None) -> bool:
    return first_s is None or (packet.dts is not None and packet.dts * packet.time_base > first_s + MAX_LEAD_S)


def _first_time(packet: av.Packet[Any], is_asf: bool) -> list[Fraction | None]:
    """The time of the first frame of `packet` that has content, or None if it has no time; empty without a frame."""
    try:
        frames = decoded(packet)
    except av.FFmpegError as exc:
        require_no_shortage(exc)
        return []
    for frame in frames:
        if isinstance(frame, av.AudioFrame) and not frame.samples:
            continue
        if frame.pts is None or frame.time_base is None:
            return [None]
        pts = max(frame.pts, frame.dts or 0) if is_asf and isinstance(frame, av.VideoFrame) else frame.pts
        return [pts * frame.time_base]
    return []
