"""Blend and encode: two stages of one pass over the frames, each in a thread of its own.

The finished movie is kept in the shared storage until it is delivered, so that a job that dies while it uploads renders
nothing twice.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from uuid import UUID

from lipsync_core.catalogue import RenderingParts, load_rendering
from lipsync_core.clip_plan import ClipPlan, lay_out, plan_rendering
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.errors import LipSyncError
from lipsync_core.inference import with_edits
from lipsync_core.media.decode import SourceFrame
from lipsync_core.movie import MovieRequest, WrittenMovie, check_sound, output_labels, write_movie
from lipsync_core.render import ordered_frames
from lipsync_core.report import ProgressCallback
from lipsync_core.score.meter import MouthMeter, measured_frames
from lipsync_core.score.seen import Seen
from lipsync_service.errors import ChecksumError, ObjectMissingError, SupersededError
from lipsync_service.storage.source import MayWrite
from tasks.channel import Channel
from tasks.edits import open_edits
from tasks.job import EditsReference, Inferred, JobInputs, LocalCopy, ServiceJob
from tasks.mouths import open_mouths
from tasks.preview import Preview
from tasks.stage_log import StageMeter
from tasks.tracks import read_clip

_FRAMES_AHEAD = 2  # 3 MB of 720p; enough for either side to go on while the other one is busy


@dataclass(frozen=True, slots=True, eq=False)
class RenderPass:
    """One streaming pass from the source to the encoded output."""

    job: ServiceJob
    inputs: JobInputs
    parts: RenderingParts
    plan: ClipPlan
    encoder: EncoderChoice
    edits: EditsReference
    rows: Path | None  # the edits, where they are in one file
    output: Path
    kept_url: str  # the address at which the output is kept until it is delivered
    is_kept: bool  # an earlier attempt has made the movie, and `output` is its file
    preview: Preview
    meter: MouthMeter | None = None  # None where mouths are not measured
    seen: list[Seen] = field(default_factory=list)  # what it has measured, in order
    frames: Channel[SourceFrame] = field(default_factory=lambda: Channel[SourceFrame](_FRAMES_AHEAD))


def open_render(
    job: ServiceJob, inputs: JobInputs, inferred: Inferred, encoder: EncoderChoice, job_id: UUID, suffix: str
) -> RenderPass:
    """Open the pass from the stored track and edits; `suffix` is that of the output's name.

    Raises:
        ModelError: this version does not paint the edits of that model, or the enhancer cannot be opened.
        FaceError: fewer frames than asked for can be synced.
        ObjectMissingError: the track or the edits are no longer kept.
        TransientError: the shared storage does not answer.
    """
    parts = load_rendering(inferred.parts.model, job.options, job.models, job.execution)
    track, edits = inferred.track, inferred.edits
    plan = lay_out(inputs.video, read_clip(job, track), track.sound_end_s, parts.painting, job.options)
    rows = job.hold(job.files.fetch_shared(edits.url)).path if edits.count == 1 else None
    # Under the job, whose request never changes, and the edits, which depend on the content of both inputs.
    kept_url = job.shared(f"renders/{job_id}-{PurePosixPath(edits.url).stem}{suffix}")
    kept = _kept(job, kept_url)
    return RenderPass(
        job,
        inputs,
        parts,
        plan,
        encoder,
        edits=edits,
        rows=rows,
        output=kept.path if kept else job.folder / f"output{suffix}",
        kept_url=kept_url,
        is_kept=kept is not None,
        preview=Preview(len(plan.timeline), plan.video.info),
        meter=None
        if kept
        else open_mouths(job, plan, parts.identity, None if rows is None else open_edits(rows, plan)),
    )


def check_sound_of(job: ServiceJob, inputs: JobInputs, suffix: str) -> None:
    """As `lipsync_core.movie.check_sound`; the error names the sound by its address."""
    try:
        check_sound(inputs.audio.path, suffix, job.options)
    except LipSyncError as error:
        raise job.for_caller(error) from error


def deliver(render: RenderPass, url: str, may_write: MayWrite | None = None) -> None:
    """Keep the output, upload it to `url`, then discard the kept copy. `may_write` is asked as `Storage.put` does.

    Raises:
        LipSyncError: as `Storage.put`; the output is kept then, if the shared storage answers.
    """
    files, is_first = render.job.files, keep(render)
    try:
        files.put(render.output, url, may_write=may_write)
    except SupersededError:
        if is_first:  # no later attempt waits for it: the job has gone on, and may have ended
            files.discard(render.kept_url)
        raise
    with suppress(LipSyncError):  # the caller has the output; the storage's own rule for old files is left with it
        files.discard(render.kept_url)


def keep(render: RenderPass) -> bool:
    """Keep the output for another attempt, unless it is kept already; returns whether it was not."""
    files = render.job.files
    is_first = not render.is_kept and not files.exists(render.kept_url)
    if is_first:
        files.put_shared(render.output, render.kept_url)
    return is_first


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


def encode_frames(render: RenderPass, meter: StageMeter, progress: ProgressCallback) -> WrittenMovie:
    """Encode the frames of `blend_frames` with the sound to the output file.

    Raises:
        OutputError: the output cannot be written.
        InputError: the sound cannot be read.
    """
    job, plan = render.job, render.plan
    try:
        frames = render.preview.watched(iter(render.frames))
        labels = output_labels(render.parts)
        request = MovieRequest(render.output, render.inputs.audio.path, job.options, render.encoder, labels)
        movie = write_movie(frames, plan, request, meter.clock, progress)
    finally:
        render.frames.close()
    meter.items, meter.size_bytes, meter.note = len(plan.timeline), render.output.stat().st_size, movie.account
    return movie


def _in_one_file(render: RenderPass) -> Path:
    if render.rows is None:
        raise ChecksumError("the edits of a movie that is rendered as a whole are in parts", "run the job again")
    return render.rows


def _kept(job: ServiceJob, url: str) -> LocalCopy | None:
    try:
        return job.hold(job.files.fetch_shared(url))
    except ObjectMissingError:
        return None


def _blended(render: RenderPass, meter: StageMeter) -> Iterator[SourceFrame]:
    plan = render.plan
    decoded = ordered_frames(render.inputs.video, plan.clip.track, plan.timeline, meter.clock)
    with closing(decoded) as frames:
        edited = with_edits(frames, open_edits(_in_one_file(render), plan), plan.is_synced)
        yield from measured_frames(edited, plan_rendering(plan, render.parts), render.meter, meter.clock)
        if render.meter is not None:
            render.seen.append(render.meter.taken())
