"""Writes the movie of a job: its frames, encoded with the given sound into a file that names the model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from lipsync_core.catalogue import RenderingParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.encode import EncoderOptions, PictureSpec
from lipsync_core.media.mux import MovieWriter
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.working import working_picture
from lipsync_core.options import JobOptions
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.timeline import Timeline

_PROGRESS_EVERY = 5  # frames


@dataclass(frozen=True, slots=True)
class MovieRequest:
    """The target, the sound, the options and the labels of a movie."""

    output: Path
    audio: Path
    options: JobOptions
    labels: Mapping[str, str]  # see `output_labels`


@dataclass(frozen=True, slots=True)
class WrittenMovie:
    """The facts about a written movie that the report needs."""

    width_px: int
    height_px: int
    audio_note: str  # how the sound was written, such as "copy (aac)"


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
    spec = _picture_spec(first, plan)
    options, sound = request.options, output_sound(request.audio, plan.timeline, request.options)
    compression = EncoderOptions(options.encoder, options.crf, options.preset)
    with MovieWriter(request.output, spec, compression, sound, request.labels, clock) as movie:
        _write_frames(chain([first], frames), plan.timeline, movie, progress)
    return WrittenMovie(spec.width_px, spec.height_px, movie.audio_note)


def output_sound(audio: Path, timeline: Timeline, options: JobOptions) -> AudioCut:
    """The part of the given sound that the output carries."""
    end_s = options.start_s + timeline.duration_s if options.length == "video" else options.end_s
    return AudioCut(audio, options.start_s, end_s)


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


def _write_frames(
    frames: Iterator[SourceFrame], timeline: Timeline, movie: MovieWriter, progress: ProgressCallback
) -> None:
    """Encode every frame with its time on the timeline."""
    durations = np.diff(timeline.pts, append=timeline.pts[-1] + timeline.last_duration)
    total = len(timeline)
    for number, frame in enumerate(frames):
        movie.write(frame.picture, int(timeline.pts[number]), int(durations[number]))
        if number % _PROGRESS_EVERY == 0 or number + 1 == total:
            progress(Progress("render", number + 1, total))


def _picture_spec(frame: SourceFrame, plan: ClipPlan) -> PictureSpec:
    """The properties that the output's pictures take from the source."""
    info = plan.video.info
    return PictureSpec(
        width_px=frame.picture.width,
        height_px=frame.picture.height,
        pix_fmt=frame.picture.format.name,
        time_base=plan.timeline.time_base,
        frame_rate=info.frame_rate,
        sample_aspect_ratio=info.sample_aspect_ratio,
        rotation_deg=info.rotation_deg,
        colour=working_picture(info).colour,
    )
