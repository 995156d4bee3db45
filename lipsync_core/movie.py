"""Writes the movie of a job: its frames, encoded with the given sound into a file that names the model."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from lipsync_core.catalogue import RenderingParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice, compression
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.errors import OutputError
from lipsync_core.media.concatenation import Concatenation, PictureTimes
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.encode import MovieStream, PictureSpec
from lipsync_core.media.extras import Chapter
from lipsync_core.media.mux import Finish, MovieFile, MovieTracks, MovieWriter
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.soundtrack import check_soundtrack
from lipsync_core.movie_pictures import MoviePictures, WrittenPictures
from lipsync_core.options import JobOptions
from lipsync_core.report import ProgressCallback
from lipsync_core.score.seen import Seen
from lipsync_core.timeline import Timeline

_logger = logging.getLogger(__name__)
_PADDED_S = Fraction(1, 10)  # two blocks of AAC and a picture: a movie that differs by less is as long as the video


#: Takes all that was measured in a segment.
AddSeen = Callable[[Seen], None]


@dataclass(frozen=True, slots=True)
class MovieRequest:
    """The target, the sound, the options, the encoder and the labels of a movie."""

    output: Path
    audio: Path
    options: JobOptions
    encoder: EncoderChoice
    labels: Mapping[str, str]  # see `output_labels`
    finish: Finish | None = None
    add_seen: AddSeen | None = None  # is given what was measured in each segment before it is joined, in order


@dataclass(frozen=True, slots=True)
class MovieSegment:
    """A segment of a movie that `write_segment` has made."""

    frames: range  # of the movie's timeline
    path: Path
    written: WrittenPictures
    seen: Seen | None = None  # where mouths are measured


@dataclass(frozen=True, slots=True)
class WrittenMovie:
    """The facts about a written movie that the report needs."""

    width_px: int
    height_px: int
    audio_note: str  # how the sound was written, such as "copy (aac)"
    encoder: EncoderChoice  # the fallback where the one of the request did not start
    changes: tuple[str, ...]  # of pixels, edited or not: `delivery.Delivery.changes`, and of pictures of other shapes
    dropped: tuple[str, ...]  # what the source holds and the movie does not, such as "2 subtitle tracks"

    @property
    def account(self) -> str:
        """What became of the picture and the sound, in one line: "picture deinterlaced, 10 to 8 bits; sound ..."."""
        parts = {"picture": ", ".join(self.changes), "sound": self.audio_note, "dropped": ", ".join(self.dropped)}
        return "; ".join(f"{name} {text}" for name, text in parts.items() if text)


def write_movie(
    frames: Iterator[SourceFrame],
    plan: ClipPlan,
    request: MovieRequest,
    clock: StageClock,
    progress: ProgressCallback,
) -> WrittenMovie:
    """Encode `frames`, one for each of the plan's timeline, with the sound.

    Raises:
        OutputError: the output cannot be written.
        OptionError: no such encoder.
        InputError: the sound cannot be read.
    """
    pictures = MoviePictures.of(frames, plan, request.options, clock)
    tracks = _tracks(plan, request)
    writer, encoder = _opened(request, pictures.spec, tracks, clock)
    with writer as movie:
        written = pictures.write(movie, progress)
    return _written(plan, tracks, written, encoder, movie.audio_note)


def write_segment(
    frames: Iterator[SourceFrame],
    plan: ClipPlan,
    path: Path,
    before_a_join: range,
    request: MovieRequest,
    clock: StageClock,
    progress: ProgressCallback,
) -> WrittenPictures:
    """Encode `frames`, one for each of the timeline of `plan`, a segment of a movie's plan, for `join_segments`.

    `before_a_join` are those of its pictures, at its end, behind which another segment follows.

    The encoder that `request` names makes them, or nothing does: segments of two encoders cannot be joined.

    Raises:
        OutputError: the segment cannot be written, or the encoder did not start.
    """
    pictures = MoviePictures.of(frames, plan, request.options, clock)
    compressed = replace(compression(request.options, request.encoder.chosen), before_a_join=before_a_join)
    with MovieWriter(path, pictures.spec, compressed, MovieTracks(), clock) as movie:
        return pictures.write(movie, progress)


def join_segments(
    segments: Iterable[MovieSegment], plan: ClipPlan, request: MovieRequest, clock: StageClock
) -> WrittenMovie:
    """Write the movie of `plan` from segments that `write_segment` has made, in order, with the sound.

    Each segment's file is read when its turn comes, and is not needed afterwards.

    Raises:
        OutputError: the output cannot be written, or the segments do not belong together.
        InputError: the sound cannot be read.
    """
    remaining = iter(segments)
    first = next(remaining)
    timeline, info, tracks = plan.timeline, plan.video.info, _tracks(plan, request)
    times = PictureTimes(timeline.pts, timeline.time_base, timeline.last_duration)
    said = MovieStream(timeline.time_base, info.language, info.rotation_deg)
    add = partial(Concatenation, first_segment=first.path, stream=said, times=times)
    written = None
    with MovieFile(request.output, timeline.time_base, tracks, clock, add) as movie:
        for segment in chain([first], remaining):
            if request.add_seen is not None and segment.seen is not None:
                request.add_seen(segment.seen)
            ends = iter(np.append(timeline.pts, timeline.pts[-1] + timeline.last_duration)[segment.frames.start + 1 :])
            for packet in movie.pictures.packets(segment.path, len(segment.frames)):
                movie.mux([packet], int(next(ends)))
            written = segment.written if written is None else written.with_others_of(segment.written)
    return _written(plan, tracks, written or first.written, request.encoder, movie.audio_note)


def _tracks(plan: ClipPlan, request: MovieRequest) -> MovieTracks:
    title = plan.video.info.extras.title
    labels = {**request.labels, **({"title": title} if title else {})}
    sound = output_sound(request.audio, plan.timeline, request.options)
    return MovieTracks(sound, request.options.audio_codec, labels, _chapters(plan, request.options), request.finish)


def _written(
    plan: ClipPlan, tracks: MovieTracks, written: WrittenPictures, encoder: EncoderChoice, audio_note: str
) -> WrittenMovie:
    info = plan.video.info
    extras = info.extras
    woven = ("deinterlaced",) if plan.video.is_woven else ()
    lost = f"{len(extras.chapters)} chapter{'s' if len(extras.chapters) > 1 else ''}"
    dropped = (*extras.others, *((lost,) if extras.chapters and not tracks.chapters else ()))
    changes = (*woven, *info.still_changes, *written.changes, *written.partial_changes(len(plan.timeline)))
    return WrittenMovie(written.width_px, written.height_px, audio_note, encoder, changes, dropped)


def _chapters(plan: ClipPlan, options: JobOptions) -> tuple[Chapter, ...]:
    """Those of the source, where the movie is as long as the video: codecs of sound pad its end."""
    track, duration_s = plan.clip.track, plan.timeline.duration_s
    video_s = track.duration_s + plan.video.lead_s
    if options.start_s or not track.is_complete or abs(duration_s - video_s) > _PADDED_S:
        return ()
    return tuple(
        replace(each, end=min(each.end, int(duration_s / each.time_base)))
        for each in plan.video.info.extras.chapters
        if each.start * each.time_base < duration_s
    )


def check_sound(audio: Path, suffix: str, options: JobOptions) -> None:
    """Refuse an audio codec that an output, whose name ends in `suffix`, cannot have; before any work is done.

    Raises:
        OptionError: the sound cannot be copied, which was asked for.
    """
    cut = AudioCut(audio, options.start_s, options.end_s, options.audio_track)
    check_soundtrack(cut, suffix, options.audio_codec)


def output_sound(audio: Path, timeline: Timeline, options: JobOptions) -> AudioCut:
    """The part of the given sound that the output carries."""
    end_s = options.start_s + timeline.duration_s if options.length == "video" else options.end_s
    return AudioCut(audio, options.start_s, end_s, options.audio_track)


def output_labels(parts: RenderingParts) -> Mapping[str, str]:
    """The tag that states in the file itself that lipsync made it, with which model, and the model's licence."""
    identity = parts.identity
    weights = f", weights sha256 {identity.weights_sha256}" if identity.weights_sha256 else ""
    made = f"Lip-synced by lipsync with {identity.label} ({identity.licence}){weights}"
    enhanced = f"; enhanced with {enhancer_name(parts.enhancer)}" if parts.enhancer else ""
    return {"comment": made + enhanced}


def enhancer_name(enhancer: Enhancer) -> str:
    """Name, version and licence."""
    spec = enhancer.spec
    return f"{spec.name}/{spec.version} ({spec.licence})"


def _opened(
    request: MovieRequest, spec: PictureSpec, tracks: MovieTracks, clock: StageClock
) -> tuple[MovieWriter, EncoderChoice]:
    """The open movie; an encoder that `auto` chose and that does not start any more gives way to its fallback.

    A GPU encodes a limited number of movies at once, and others may have begun theirs since the trial.
    """
    choice, fallback = request.encoder, request.encoder.fallback
    if fallback is not None:
        try:
            return _writer(request, spec, tracks, choice.chosen, clock), choice
        except OutputError as exc:  # of the output itself, where the fallback finds the same one
            reason = f"{choice.chosen} did not start after all: {exc.message}"
            choice = replace(choice, chosen=fallback, reason=reason)
            _logger.warning("encoder %s: %s", fallback, reason)
    return _writer(request, spec, tracks, choice.chosen, clock), choice


def _writer(
    request: MovieRequest, spec: PictureSpec, tracks: MovieTracks, encoder: str, clock: StageClock
) -> MovieWriter:
    return MovieWriter(request.output, spec, compression(request.options, encoder), tracks, clock)
