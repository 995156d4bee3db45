"""One lip-sync job from files to file. It only composes stages.

Two passes over the video: the track pass finds the face (skipped when the track is stored), the
render pass streams decode -> infer -> paint -> blend -> encode.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from lipsync_core.audio.load import SpeechReader
from lipsync_core.catalogue import JobParts, load_parts
from lipsync_core.clip_plan import (
    ClipPlan,
    encoder_options,
    enhancer_name,
    output_labels,
    output_sound,
    plan_clip,
    plan_inference,
)
from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError
from lipsync_core.execution import Execution
from lipsync_core.face.store import TrackStore
from lipsync_core.generators.contract import Conditions
from lipsync_core.inference import inferred_frames
from lipsync_core.media.mux import MovieWriter
from lipsync_core.media.output import check_output
from lipsync_core.media.probe import VideoInfo, require_audio, require_video
from lipsync_core.media.working import working_picture
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.providers import provider_account
from lipsync_core.render import blended_frames, ordered_frames, picture_spec, write_frames
from lipsync_core.report import JobReport, ProgressCallback
from lipsync_core.threads import no_thread_pools
from lipsync_core.timeline import Timeline, plan_timeline, source_s_needed
from lipsync_core.tracking import TrackedClip, TrackPass
from lipsync_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class _Job:
    """What every stage of one job shares."""

    video: Path
    audio: Path
    output: Path
    options: JobOptions
    execution: Execution
    workspace: Workspace
    clock: StageClock
    progress: ProgressCallback


@dataclass(frozen=True, slots=True)
class _Rendered:
    """What is known of the output once it is written."""

    width_px: int
    height_px: int
    audio_note: str


def lip_sync(
    video: Path | str,
    audio: Path | str,
    output: Path | str,
    options: JobOptions | None = None,
    workspace: Workspace | None = None,
    progress: ProgressCallback | None = None,
    parts: JobParts | None = None,
    execution: Execution | None = None,
) -> JobReport:
    """Make the face in `video` speak `audio` and write the result to `output`.

    Args:
        video: any video or still image that FFmpeg reads.
        audio: any file with sound that FFmpeg reads.
        output: an .mp4, .m4v or .mov file; it appears complete or not at all, and replaces an older one.
        options: see `JobOptions`.
        workspace: where models and stored face tracks live; the user's own folders by default.
        progress: called now and then, from this thread.
        parts: what `catalogue.load_parts` loaded before, for many jobs; by default what the options name.
        execution: what runs the networks that are loaded here; by default the GPU where there is one that works.

    Raises:
        LipSyncError: `lipsync_core.errors` lists every way to fail and its code.
    """
    job = _Job(
        video=Path(video),
        audio=Path(audio),
        output=Path(output),
        options=options or JobOptions(),
        execution=execution or Execution(),
        workspace=workspace or Workspace.default(),
        clock=StageClock(),
        progress=progress or (lambda _: None),
    )
    with no_thread_pools():
        return _run(job, parts)


def _run(job: _Job, loaded: JobParts | None) -> JobReport:
    with job.clock.stage("probe"):
        check_output(job.output, (job.video, job.audio))
        info = require_video(job.video)
        require_audio(job.audio)
    with job.clock.stage("load models"):
        parts = loaded or load_parts(job.options, ModelStore(job.workspace.models), job.clock, job.execution)
    speech = SpeechReader(job.audio, job.clock, job.options.start_s, job.options.end_s)
    with job.clock.stage("listen"):
        conditions = parts.model.generator.listen(speech)
    audio_s = job.options.start_s + speech.duration_s
    needed_s = source_s_needed(audio_s, job.options)
    track_pass = TrackPass(parts.tracker, parts.model.generator, TrackStore(job.workspace.cache / "tracks"))
    clip = track_pass.run(job.video, needed_s, info.frame_count, job.clock, job.progress)
    if job.options.compat == "upstream":
        clip, conditions, timeline = _planned_as_upstream(clip, conditions, info)
    else:
        timeline = plan_timeline(clip.track, audio_s, job.options)
    with job.clock.stage("plan"):
        plan = plan_clip(clip, timeline, info, parts, str(job.video))
    plan.require_synced(str(job.video), job.options.min_synced)
    return _report(job, parts, plan, _render(job, plan, parts, conditions))


def _planned_as_upstream(
    clip: TrackedClip, conditions: Conditions, info: VideoInfo
) -> tuple[TrackedClip, Conditions, Timeline]:
    """What takes the place of the job's own track, conditions and timeline."""
    from lipsync_core.compat.upstream import plan_as_upstream  # brings the neural extra

    if info.rotation_deg:
        raise OptionError(f"the video is stored turned by {info.rotation_deg} degrees", "leave out --compat")
    picture = working_picture(info)
    size_px = (picture.width_px, picture.height_px)
    planned = plan_as_upstream(clip.track, conditions, info.frame_rate, size_px)
    return replace(clip, track=planned.track), planned.conditions, planned.timeline


def _render(job: _Job, plan: ClipPlan, parts: JobParts, conditions: Conditions) -> _Rendered:
    inference = plan_inference(plan, parts, conditions)
    sound = output_sound(job.audio, plan.timeline, job.options)
    with closing(ordered_frames(job.video, plan.clip.track, plan.timeline, job.clock)) as frames:
        first = next(frames)
        spec = picture_spec(first, plan.info, plan.timeline)
        compression, labels = encoder_options(job.options), output_labels(parts)
        with MovieWriter(job.output, spec, compression, sound, labels, job.clock) as movie:
            inferred = inferred_frames(chain([first], frames), inference, job.clock)
            blended = blended_frames(inferred, plan.render, job.clock)
            write_frames(blended, plan.timeline, movie, job.progress)
    return _Rendered(spec.width_px, spec.height_px, movie.audio_note)


def _report(job: _Job, parts: JobParts, plan: ClipPlan, rendered: _Rendered) -> JobReport:
    spec = parts.model.generator.spec
    return JobReport(
        output=job.output,
        output_bytes=job.output.stat().st_size,
        duration_s=plan.timeline.duration_s,
        width_px=rendered.width_px,
        height_px=rendered.height_px,
        model=f"{spec.name}/{spec.version}",
        model_licence=spec.licence,
        model_sha256=parts.model.weights_sha256,
        model_reason=parts.model.reason,
        tracker=plan.clip.track.tracker,
        track_was_cached=plan.clip.was_cached,
        blender=parts.blender.name,
        enhancer=enhancer_name(parts.enhancer) if parts.enhancer else None,
        encoder=job.options.encoder,
        providers=provider_account(job.execution),
        audio=rendered.audio_note,
        frames=plan.counts,
        stages=job.clock.timings(),
        wall_s=job.clock.wall_s,
        cpu_s=job.clock.cpu_s,
        peak_rss_bytes=peak_resident_bytes(),
    )
