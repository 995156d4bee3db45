"""Writes the movie of a job: its frames, encoded with the given sound into a file that names the model."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from lipsync_core.catalogue import RenderingParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice, compression
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.errors import OutputError
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.delivery import DeliveredPictures, Delivery, delivery_of
from lipsync_core.media.encode import ENCODE_STAGE, PictureSpec
from lipsync_core.media.extras import Chapter
from lipsync_core.media.mux import MovieWriter
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.soundtrack import check_soundtrack
from lipsync_core.media.source_frame import Shape, described
from lipsync_core.media.working import WorkingPicture, working_picture
from lipsync_core.options import JobOptions
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.timeline import Timeline

_logger = logging.getLogger(__name__)
_PROGRESS_EVERY = 5  # frames
_MOST_SHAPES = 3  # that a report names
_PADDED_S = Fraction(1, 10)  # two blocks of AAC and a picture: a movie that differs by less is as long as the video


@dataclass(frozen=True, slots=True)
class MovieRequest:
    """The target, the sound, the options, the encoder and the labels of a movie."""

    output: Path
    audio: Path
    options: JobOptions
    encoder: EncoderChoice
    labels: Mapping[str, str]  # see `output_labels`
    chapters: tuple[Chapter, ...] = ()


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
    first = next(frames)
    delivered = _delivery(first, plan, request.options)
    woven = ("deinterlaced",) if plan.video.is_woven else ()
    spec = _picture_spec(delivered, plan)
    sound = output_sound(request.audio, plan.timeline, request.options)
    extras = plan.video.info.extras
    kept = _chapters(plan, request.options)
    labels = {**request.labels, **({"title": extras.title} if extras.title else {})}
    writer, encoder = _opened(replace(request, labels=labels, chapters=kept), spec, sound, clock)
    others: Counter[Shape] = Counter()
    with writer as movie:
        pictures = _delivered(_counted(chain([first], frames), others), delivered, clock)
        _write_pictures(pictures, plan.timeline, movie, progress)
    lost = f"{len(extras.chapters)} chapter{'s' if len(extras.chapters) > 1 else ''}"
    dropped = (*extras.others, *((lost,) if extras.chapters and not kept else ()))
    partial = _partial_changes(others, len(plan.timeline))
    changes = (*woven, *plan.video.info.still_changes, *delivered.changes, *partial)
    return WrittenMovie(spec.width_px, spec.height_px, movie.audio_note, encoder, changes, dropped)


def _counted(frames: Iterator[SourceFrame], others: Counter[Shape]) -> Iterator[SourceFrame]:
    """The same frames; of those that were given the shape of the first one, the shapes are counted."""
    for frame in frames:
        if frame.converted_from is not None:
            others[frame.converted_from] += 1
        yield frame


def _partial_changes(others: Counter[Shape], frames: int) -> Iterator[str]:
    for shape, count in others.most_common(_MOST_SHAPES):
        yield f"partly converted from {described(shape)} ({count} of {frames} frames)"
    if len(others) > _MOST_SHAPES:
        yield f"partly converted from {len(others) - _MOST_SHAPES} other kinds"


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
    request: MovieRequest, spec: PictureSpec, sound: AudioCut, clock: StageClock
) -> tuple[MovieWriter, EncoderChoice]:
    """The open movie; an encoder that `auto` chose and that does not start any more gives way to its fallback.

    A GPU encodes a limited number of movies at once, and others may have begun theirs since the trial.
    """
    choice, fallback = request.encoder, request.encoder.fallback
    if fallback is not None:
        try:
            return _writer(request, spec, sound, choice.chosen, clock), choice
        except OutputError as exc:  # of the output itself, where the fallback finds the same one
            reason = f"{choice.chosen} did not start after all: {exc.message}"
            choice = replace(choice, chosen=fallback, reason=reason)
            _logger.warning("encoder %s: %s", fallback, reason)
    return _writer(request, spec, sound, choice.chosen, clock), choice


def _writer(request: MovieRequest, spec: PictureSpec, sound: AudioCut, encoder: str, clock: StageClock) -> MovieWriter:
    compressed, audio_codec = compression(request.options, encoder), request.options.audio_codec
    return MovieWriter(request.output, spec, compressed, sound, request.labels, clock, audio_codec, request.chapters)


def _delivery(frame: SourceFrame, plan: ClipPlan, options: JobOptions) -> Delivery:
    info, picture = plan.video.info, frame.picture
    stored = working_picture(info)
    source = WorkingPicture(picture.width, picture.height, picture.format.name, stored.colour)
    is_reduced = plan.video.size_px is not None
    return delivery_of(source, info, options, (stored.width_px, stored.height_px) if is_reduced else None)


def _delivered(frames: Iterator[SourceFrame], delivered: Delivery, clock: StageClock) -> Iterator[av.VideoFrame]:
    if delivered.source == delivered.picture:
        yield from (frame.picture for frame in frames)
        return
    pictures = DeliveredPictures(delivered)
    for frame in frames:
        with clock.stage(ENCODE_STAGE):
            picture = pictures.convert(frame.picture)
        yield picture


def _write_pictures(
    pictures: Iterator[av.VideoFrame], timeline: Timeline, movie: MovieWriter, progress: ProgressCallback
) -> None:
    """Encode every frame with its time on the timeline."""
    durations = np.diff(timeline.pts, append=timeline.pts[-1] + timeline.last_duration)
    total = len(timeline)
    for number, picture in enumerate(pictures):
        movie.write(picture, int(timeline.pts[number]), int(durations[number]))
        if number % _PROGRESS_EVERY == 0 or number + 1 == total:
            progress(Progress("render", number + 1, total))


def _picture_spec(delivered: Delivery, plan: ClipPlan) -> PictureSpec:
    """The properties of the output's pictures."""
    info, picture = plan.video.info, delivered.picture
    return PictureSpec(
        width_px=picture.width_px,
        height_px=picture.height_px,
        pix_fmt=picture.pix_fmt,
        time_base=plan.timeline.time_base,
        frame_rate=plan.timeline.frame_rate or info.frame_rate,
        sample_aspect_ratio=info.sample_aspect_ratio,
        rotation_deg=info.rotation_deg,
        colour=picture.colour,
        language=info.language,
        light=info.light if picture.colour == delivered.source.colour else None,
        is_still=info.is_still,
    )
