"""Blend and encode: two stages, each in its own thread, of one pass over the frames."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from lipsync_core.clip_plan import ClipPlan, encoder_options, output_labels, output_sound
from lipsync_core.inference import InferredFrame
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.mux import MovieWriter
from lipsync_core.render import blended_frames, ordered_frames, picture_spec, write_frames
from lipsync_core.report import ProgressCallback
from tasks.channel import Channel
from tasks.edits import open_edits
from tasks.job import JobInputs, ServiceJob
from tasks.preview import Preview
from tasks.stage_log import StageMeter

_FRAMES_AHEAD = 8  # 11 MB of 720p; enough for either side to go on while the other one is busy


@dataclass(frozen=True, slots=True, eq=False)
class RenderPass:
    """One streaming pass from the source to the encoded output."""

    job: ServiceJob
    inputs: JobInputs
    plan: ClipPlan
    edits: Path
    output: Path
    preview: Preview
    frames: Channel[SourceFrame] = field(default_factory=lambda: Channel[SourceFrame](_FRAMES_AHEAD))


def blend_frames(render: RenderPass, meter: StageMeter) -> None:
    """Decode, paint and blend every frame of the output and send it on.

    Raises:
        InputError: the video cannot be read.
        ChannelClosedError: the encoder has stopped.
    """
    try:
        for frame in _blended(render, meter):
            render.frames.send(frame)
            meter.items += 1
    except BaseException as error:
        render.frames.finish(error)
        raise
    render.frames.finish()


def encode_frames(render: RenderPass, meter: StageMeter, progress: ProgressCallback) -> str:
    """Encode what `blend_frames` sends, with the sound, to the output file; returns what was done to the sound.

    Raises:
        OutputError: the output cannot be written.
        InputError: the sound cannot be read.
    """
    job, plan = render.job, render.plan
    try:
        frames = iter(render.frames)
        first = next(frames)
        spec = picture_spec(first, plan.info, plan.timeline)
        sound = output_sound(render.inputs.audio.path, plan.timeline, job.options)
        compression, labels = encoder_options(job.options), output_labels(job.parts)
        with MovieWriter(render.output, spec, compression, sound, labels, meter.clock) as movie:
            write_frames(render.preview.watched(chain([first], frames)), plan.timeline, movie, progress)
    finally:
        render.frames.close()
    meter.items, meter.size_bytes = len(plan.timeline), render.output.stat().st_size
    return movie.audio_note


def _blended(render: RenderPass, meter: StageMeter) -> Iterator[SourceFrame]:
    plan = render.plan
    with closing(ordered_frames(render.inputs.video.path, plan.clip.track, plan.timeline, meter.clock)) as frames:
        yield from blended_frames(_with_edits(frames, render), plan.render, meter.clock)


def _with_edits(frames: Iterator[SourceFrame], render: RenderPass) -> Iterator[InferredFrame]:
    edits = iter(open_edits(render.edits, render.plan))
    for frame, is_synced in zip(frames, render.plan.is_synced, strict=True):
        yield InferredFrame(frame, next(edits) if is_synced else None)
