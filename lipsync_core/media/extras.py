"""What a media file holds beside one picture and one sound: title, chapters, further tracks, subtitles, timecode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer

from lipsync_core.media.tracks import further_tracks

#: Tags of a file that its result has anew, or that say how the file was written.
_OF_THE_FILE = frozenset(
    {"title", "timecode", "encoder", "duration", "major_brand", "minor_version", "compatible_brands", "language"}
)
_MOST_NAMED = 5
_UNKNOWN = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter; times in units of `time_base`, seconds, on the file's own clock."""

    title: str
    start: int
    end: int
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class Extras:
    """Of one file."""

    title: str = ""
    chapters: tuple[Chapter, ...] = ()
    others: tuple[str, ...] = ()  # in words, such as "2 subtitle tracks"; no result can keep them


NO_EXTRAS = Extras()


def extras_of(container: InputContainer, of_pictures: tuple[str, ...] = (), *, is_still: bool = False) -> Extras:
    """The extras of an open file; `of_pictures` is what else its pictures hold, in words."""
    chapters = tuple(
        Chapter(each["metadata"].get("title", ""), each["start"], each["end"], each["time_base"] or _UNKNOWN)
        for each in container.chapters()
    )
    return Extras(_tag(container.metadata, "title") or "", chapters, (*of_pictures, *_others(container, is_still)))


def _others(container: InputContainer, is_still: bool) -> Iterator[str]:
    streams = container.streams
    tags = [container.metadata, *(stream.metadata for stream in (*streams.video, *streams.data))]
    has_timecode = any(_tag(each, "timecode") is not None for each in tags)
    # MP4 has chapters as a track of texts, and a timecode as a track of numbers.
    data = [each for each in streams.data if _tag(each.metadata, "timecode") is None and not container.chapters()]
    videos, sounds, covers = further_tracks(container)
    counts = {
        "further video track": 0 if is_still else videos,  # of a HEIC picture they are its parts
        "further audio track": sounds,
        "cover image": covers,
        "subtitle track": len(streams.subtitles),
        "data track": len(data),
        "attachment": len(streams.attachments),
    }
    yield from (f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    if has_timecode:
        yield "timecode"
    lost = sorted({name.lower() for name in container.metadata} - _OF_THE_FILE)
    if lost:
        yield f"tags ({', '.join(lost[:_MOST_NAMED])}{', ...' if len(lost) > _MOST_NAMED else ''})"


def _tag(tags: Mapping[str, str], name: str) -> str | None:
    """The value of a tag; Matroska writes names in capitals."""
    return next((value for key, value in tags.items() if key.lower() == name), None)
