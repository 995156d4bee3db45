"""Chooses one of a file's video or audio tracks: the one that was asked for, else by the file's own marks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from lipsync_core.errors import NoAudioError, OptionError, RefusedMediaError
from lipsync_core.media.stream_checks import is_readable, require_within_limits, unreadable_streams
from lipsync_core.option_specs import MAX_FPS

_Rank = Callable[[Stream], tuple[bool, ...]]  # the least goes first
_StreamT = TypeVar("_StreamT", VideoStream, AudioStream)
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
#: Spoken beside the speech of the film, not in place of it.
_BESIDE = Disposition.comment | Disposition.visual_impaired | Disposition.descriptions | Disposition.karaoke
_FALLBACK_RATE = Fraction(25)
_MOST_DIGITS = 9  # of a track's number; Python converts no thousands of digits
_IMAGE_CODECS = frozenset({"bmp", "gif", "mjpeg", "png", "tiff", "webp"})
_UNKNOWN = frozenset({"", "und", "mis", "mul", "zxx"})
# ISO 639-1, and of ISO 639-2 the code for bibliographies (Matroska's), each with the one for terms (MP4's).
_CODES = """
    alb=sqi ar=ara arm=hye baq=eus bg=bul bn=ben bs=bos bur=mya ca=cat chi=zho cs=ces cy=cym cze=ces da=dan de=deu
    dut=nld el=ell en=eng es=spa et=est eu=eus fa=fas fi=fin fr=fra fre=fra ga=gle geo=kat ger=deu gl=glg gre=ell gu=guj
    he=heb hi=hin hr=hrv hu=hun hy=hye ice=isl id=ind is=isl it=ita ja=jpn ka=kat kk=kaz ko=kor lt=lit lv=lav mac=mkd
    may=msa mk=mkd mr=mar ms=msa mt=mlt my=mya nb=nob nl=nld nn=nno no=nor pa=pan per=fas pl=pol pt=por ro=ron ru=rus
    rum=ron sk=slk sl=slv slo=slk sq=sqi sr=srp sv=swe sw=swa ta=tam te=tel th=tha tl=tgl tr=tur uk=ukr ur=urd vi=vie
    wel=cym zh=zho
"""
_ONE_CODE: Mapping[str, str] = MappingProxyType(dict(pair.split("=") for pair in _CODES.split()))


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """One video or audio track of a file."""

    number: int  # from 0, among those of its kind; cover images are not counted
    codec: str
    language: str  # as the file writes it; empty where it does not say
    title: str
    is_default: bool  # marked by the file
    is_chosen: bool


def video_stream(container: InputContainer, track: str | None = None) -> VideoStream | None:
    """The video stream that is read, or None where the file holds none that can be; a cover image is none.

    `track` is a number, from 0, or a language. Without it a moving picture goes before a single one, and a track that
    the file marks as its default before others; then the first counts.

    Raises:
        OptionError: the file has no such track.
        LimitError: the stream has more pixels than one may.
    """
    return _chosen(_videos(container), track, "video", _image_last)


def audio_stream(container: InputContainer, track: str | None = None) -> AudioStream | None:
    """The audio stream that is read, or None where the file holds none that can be.

    `track` is as for `video_stream`. Without it a comment and a description for the blind go behind all others.

    Raises:
        OptionError: the file has no such track.
        LimitError: the stream has too many channels, or a rate beyond the limits.
    """
    return _chosen(_sounds(container), track, "audio", _comment_last)


def require_audio_stream(container: InputContainer, path: Path, track: str | None = None) -> AudioStream:
    """The audio stream that is read of `path`; raises as `audio_stream`.

    Raises:
        NoAudioError: it holds no sound.
        RefusedMediaError: it holds sound that cannot be read.
    """
    stream = audio_stream(container, track)
    if stream is None:
        require_no_refusal(path, unreadable_streams(container), "audio")
        raise NoAudioError(f"{path} holds no audio", "give a sound file, or a video with sound")
    return stream


def require_no_refusal(path: Path, unreadable: Sequence[str], kind: str = "") -> None:
    """Raise RefusedMediaError where `path` has streams of `kind` ("video", "audio" or any) that cannot be read."""
    reasons = [each for each in unreadable if each.startswith(kind)]
    if reasons:
        raise RefusedMediaError(
            f"{path} holds no {kind or 'media'} that can be read: {'; '.join(reasons[:3])}",
            "convert it to H.264 or AAC",
        )


def codec_name(stream: VideoStream | AudioStream) -> str:
    """The codec's own name, such as av1 or mp3, whatever decoder reads it (libdav1d, mp3float)."""
    return stream.codec_context.codec.canonical_name


def frame_rate_of(stream: VideoStream) -> Fraction:
    """The average rate, frames/s, or FFmpeg's guess where the average cannot be (raw DV: 60,000)."""
    rates = [rate for rate in (stream.average_rate, stream.guessed_rate) if rate]
    return next((rate for rate in rates if rate <= MAX_FPS), rates[0] if rates else _FALLBACK_RATE)


def language_of(stream: Stream) -> str:
    """The language as the file writes it; empty where it does not say."""
    language = stream.metadata.get("language", "")
    return "" if language in _UNKNOWN else language


def mp4_language(language: str) -> str:
    """The code of three letters for MP4 (ISO 639-2/T) of a language as a file writes it; empty where there is none."""
    code = _normal(language).partition("-")[0]
    return code if re.fullmatch("[a-z]{3}", code) and code not in _UNKNOWN else ""


def video_tracks(container: InputContainer, track: str | None = None) -> tuple[TrackInfo, ...]:
    """The video tracks of an open file, without cover images; raises as `video_stream`."""
    return _infos(_videos(container), video_stream(container, track))


def audio_tracks(container: InputContainer, track: str | None = None) -> tuple[TrackInfo, ...]:
    """The audio tracks of an open file; raises as `audio_stream`."""
    return _infos(_sounds(container), audio_stream(container, track))


def further_tracks(container: InputContainer) -> tuple[int, int, int]:
    """How many video tracks, audio tracks and cover images an open file has beside those that are read."""
    covers = sum(bool(Disposition(each.disposition) & _COVER) for each in container.streams.video)
    return max(0, len(_videos(container)) - 1), max(0, len(container.streams.audio) - 1), covers


def _videos(container: InputContainer) -> list[VideoStream]:
    """Without covers; the tiles of a picture, which FFmpeg shows as streams, are one track."""
    shown = (each for each in container.streams.video if not Disposition(each.disposition) & _COVER)
    found = [stream for stream in shown if is_readable(stream)]
    whole = [stream for stream in found if not Disposition(stream.disposition) & Disposition.dependent]
    return whole or found[:1]


def _sounds(container: InputContainer) -> list[AudioStream]:
    return [stream for stream in container.streams.audio if is_readable(stream)]


def _chosen(streams: list[_StreamT], track: str | None, kind: str, rank: _Rank) -> _StreamT | None:
    found = _found(streams, track, kind, rank)
    if found is not None:
        require_within_limits(found)
    return found


def _found(streams: list[_StreamT], track: str | None, kind: str, rank: _Rank) -> _StreamT | None:
    if track is None or not streams:
        return min(streams, key=rank, default=None)
    if track.isdecimal():
        number = int(track) if len(track) <= _MOST_DIGITS else len(streams)
        found = streams[number : number + 1]
    else:
        in_language = [each for each in streams if _is_in(each, track)]
        in_any_region = [each for each in streams if _is_of_any_region(each, track)]
        found = sorted(in_language or in_any_region, key=rank)
    if not found:
        held = ", ".join(f"{at} ({language_of(each) or 'no language'})" for at, each in enumerate(streams))
        raise OptionError(f"the file has no {kind} track {track!r}", f"it has {held}")
    return found[0]


def _image_last(stream: Stream) -> tuple[bool, bool]:
    is_image = stream.frames == 1 or stream.codec_context.name in _IMAGE_CODECS
    return is_image, not stream.disposition & Disposition.default


def _comment_last(stream: Stream) -> tuple[bool, bool, bool]:
    marks = stream.disposition
    return bool(marks & _BESIDE), not marks & Disposition.default, bool(marks & Disposition.hearing_impaired)


def _infos(streams: Sequence[_StreamT], chosen: _StreamT | None) -> tuple[TrackInfo, ...]:
    return tuple(
        TrackInfo(
            number=number,
            codec=codec_name(stream),
            language=language_of(stream),
            title=stream.metadata.get("title", ""),
            is_default=bool(stream.disposition & Disposition.default),
            is_chosen=chosen is not None and stream.index == chosen.index,
        )
        for number, stream in enumerate(streams)
    )


def _is_in(stream: Stream, language: str) -> bool:
    """A language without a region takes each region: de takes de-AT."""
    wanted, given = _normal(language), _normal(language_of(stream))
    return bool(wanted) and (wanted == given or given.startswith(f"{wanted}-"))


def _is_of_any_region(stream: Stream, language: str) -> bool:
    """A track whose region is not known is taken for that of each."""
    given = _normal(language_of(stream))
    return bool(given) and _normal(language).startswith(f"{given}-")


def _normal(language: str) -> str:
    code, *region = language.lower().replace("_", "-").split("-")
    return "-".join([_ONE_CODE.get(code, code), *region])
