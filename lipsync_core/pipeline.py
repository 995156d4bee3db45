"""One lip-sync job from files to file. It only composes stages.

Two passes over the video: the track pass finds the face (skipped when the track is stored), the
render pass streams decode -> infer -> paint -> blend -> encode.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lipsync_core.catalogue import JobParts, load_parts
from lipsync_core.clip_plan import ClipPlan, lay_out, plan_clip, plan_inference, plan_rendering
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice, choose_encoder
from lipsync_core.errors import OptionError
from lipsync_core.execution import Execution
from lipsync_core.face.store import TrackStore
from lipsync_core.generators.contract import Conditions, PaintingHalf
from lipsync_core.inference import infer_edits, inferred_frames
from lipsync_core.job_limits import JobWatch
from lipsync_core.listening import HeardSpeech, listen
from lipsync_core.media.delivery import delivery
from lipsync_core.media.output import check_output
from lipsync_core.media.probe import require_audio
from lipsync_core.memory import give_free_memory_back, peak_resident_bytes
from lipsync_core.models.store import ModelStore
from lipsync_core.movie import MovieRequest, WrittenMovie, check_sound, enhancer_name, output_labels, write_movie
from lipsync_core.movie_scorer import MovieScorer, open_scorer, require_scoring
from lipsync_core.movie_signer import MovieSigner, audio_input, statement_of, video_input
from lipsync_core.options import JobOptions
from lipsync_core.provenance.credential import SigningCredential, open_credential
from lipsync_core.providers import provider_account
from lipsync_core.render import ordered_frames
from lipsync_core.report import JobReport, ProgressCallback, Provenance
from lipsync_core.score.meter import measured_frames
from lipsync_core.score_figures import Scoring
from lipsync_core.segment_jobs import chosen_jobs, movie_of_segments
from lipsync_core.segment_work import SegmentWork, WholeEdits
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.source_video import SourceVideo, input_sha256
from lipsync_core.threads import no_thread_pools
from lipsync_core.timeline import source_s_needed
from lipsync_core.tracking import TrackedClip, TrackPass
from lipsync_core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class _Writing:
    """The encoder of a movie, its scorer (or why it has none), and the signer; None: it is not signed."""

    encoder: EncoderChoice
    scorer: MovieScorer | Scoring
    signer: MovieSigner | None

    def finish(self, path: Path) -> None:
        """Judge the finished movie, and sign it.

        Raises:
            QualityError: its score is lower than was asked for.
        """
        for step in (self.scorer, self.signer):
            if isinstance(step, MovieScorer | MovieSigner):
                step(path)

    def told(self, report: JobReport) -> JobReport:
        """The report, with what was told of score and signature."""
        scoring = self.scorer.told if isinstance(self.scorer, MovieScorer) else self.scorer
        return replace(report, scoring=scoring, provenance=self.signer.told if self.signer else Provenance())


@dataclass(frozen=True, slots=True)
class _Job:
    """The values that all stages of one job share."""

    video: Path
    audio: Path
    output: Path
    options: JobOptions
    execution: Execution
    workspace: Workspace
    clock: StageClock
    progress: ProgressCallback
    watch: JobWatch


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
        parts: parts that `catalogue.load_parts` has loaded for many jobs; by default those that the options name.
        execution: where networks run, by default on the GPU where there is one that works; and by how many processes.

    Raises:
        LipSyncError: `lipsync_core.errors` lists every way to fail and its code.
    """
    clock = StageClock()
    watch = JobWatch(clock)
    job = _Job(
        video=Path(video),
        audio=Path(audio),
        output=Path(output),
        options=options or JobOptions(),
        execution=execution or Execution(),
        workspace=workspace or Workspace.default(),
        clock=clock,
        progress=watch.watched(progress or (lambda _: None)),
        watch=watch,
    )
    with no_thread_pools(), memory_shortage_told():
        return _run(job, parts)


def _run(job: _Job, loaded: JobParts | None) -> JobReport:
    with job.clock.stage("probe"):
        check_output(job.output, (job.video, job.audio))
        video = SourceVideo.probed(job.video, job.options, job.execution.decoder).reduced_for(job.options)
        require_audio(job.audio, job.options.audio_track)
        check_sound(job.audio, job.output.suffix, job.options)
        encoder = choose_encoder(job.options, delivery(video.info, job.options).picture)
        credential = _credential(job)
    with job.clock.stage("hash"):
        video = replace(video, known_sha256=video.sha256())
    with job.clock.stage("load models"):
        models = ModelStore(job.workspace.models)
        parts = loaded or load_parts(job.options, models, job.execution, job.clock)
        require_scoring(job.options, models, parts.rendering.identity.name)
    heard = listen(parts.inference.generator, job.audio, job.options, job.clock)
    job.watch.require_within_limits()
    track_pass = TrackPass(parts.tracker, parts.inference.generator, TrackStore(job.workspace.cache / "tracks"))
    needed_s = source_s_needed(heard.end_s, job.options)
    clip = track_pass.run(video, needed_s, job.clock, job.progress, job.execution.jobs)
    give_free_memory_back()  # of parts of the track, and of the decoder: the encoder cannot use blocks of other sizes
    with job.clock.stage("plan"):
        plan, conditions = _planned(job, video, clip, heard, parts.rendering.painting)
    signer = None if credential is None else _signer(job, plan, parts, credential)
    writing = _Writing(encoder, _scorer(job, plan, replace(heard, conditions=conditions)), signer)
    written, jobs = _render(job, plan, parts, conditions, writing)
    return writing.told(_report(job, parts, plan, written, jobs))


def _scorer(job: _Job, plan: ClipPlan, heard: HeardSpeech) -> MovieScorer | Scoring:
    with job.clock.stage("score"):
        return open_scorer(plan, heard, job.audio, job.options, ModelStore(job.workspace.models), job.clock)


def _credential(job: _Job) -> SigningCredential | None:
    """What signs the movie; None where it shall not be signed."""
    if not job.options.provenance:
        return None
    return open_credential(job.workspace.signing, job.workspace.signing_folder)


def _signer(job: _Job, plan: ClipPlan, parts: JobParts, credential: SigningCredential) -> MovieSigner:
    with job.clock.stage("hash"):
        audio_sha256 = input_sha256(job.audio)
    inputs = (
        video_input(job.video, job.video.name, plan.video.sha256()),
        audio_input(job.audio, job.audio.name, audio_sha256),
    )
    return MovieSigner(credential, job.output.name, inputs, statement_of(plan, parts.rendering), job.clock)


def _planned(
    job: _Job, video: SourceVideo, clip: TrackedClip, heard: HeardSpeech, painting: PaintingHalf
) -> tuple[ClipPlan, Conditions]:
    if job.options.compat == "upstream":
        return _planned_as_upstream(video, clip, heard.conditions, painting, job.options.min_synced)
    return lay_out(video, clip, heard.end_s, painting, job.options), heard.conditions


def _planned_as_upstream(
    video: SourceVideo, clip: TrackedClip, heard: Conditions, painting: PaintingHalf, min_synced: float
) -> tuple[ClipPlan, Conditions]:
    """The public implementation's own track, timeline and conditions take the place of the job's."""
    from lipsync_core.compat.upstream import plan_as_upstream  # brings the neural extra

    info = video.info
    if info.rotation_deg:
        raise OptionError(f"the video is stored turned by {info.rotation_deg} degrees", "leave out --compat")
    size_px = (video.picture.width_px, video.picture.height_px)
    planned = plan_as_upstream(clip.track, heard, info.frame_rate, size_px)
    plan = plan_clip(video, replace(clip, track=planned.track), planned.timeline, painting, min_synced)
    return plan, planned.conditions


def _render(
    job: _Job, plan: ClipPlan, parts: JobParts, conditions: Conditions, writing: _Writing
) -> tuple[WrittenMovie, int]:
    """The movie, and how many processes have rendered its segments: 1 where this one has rendered it as a whole."""
    inference = plan_inference(plan, parts.inference, conditions)
    scorer = writing.scorer if isinstance(writing.scorer, MovieScorer) else None
    request = MovieRequest(
        job.output,
        job.audio,
        job.options,
        writing.encoder,
        output_labels(parts.rendering),
        writing.finish,
        scorer.add if scorer else None,
    )
    jobs = chosen_jobs(job.execution.jobs, plan, parts, writing.encoder)
    meter = scorer.meter if scorer else None
    if jobs > 1:
        with job.clock.stage("infer"):
            edits = np.stack(list(infer_edits((), inference, job.clock)))
        work = SegmentWork(plan, WholeEdits(plan, edits), parts.rendering, request, meter)
        return movie_of_segments(work, jobs, job.clock, job.progress), jobs
    with closing(ordered_frames(plan.video, plan.clip.track, plan.timeline, job.clock)) as frames:
        inferred = inferred_frames(frames, inference, job.clock)
        measured = measured_frames(inferred, plan_rendering(plan, parts.rendering), meter, job.clock)
        return write_movie(measured, plan, request, job.clock, job.progress), 1


def _report(job: _Job, parts: JobParts, plan: ClipPlan, written: WrittenMovie, jobs: int) -> JobReport:
    identity, enhancer = parts.rendering.identity, parts.rendering.enhancer
    return JobReport(
        output=job.output,
        output_bytes=job.output.stat().st_size,
        duration_s=plan.timeline.duration_s,
        width_px=written.width_px,
        height_px=written.height_px,
        model=identity.label,
        model_licence=identity.licence,
        model_sha256=identity.weights_sha256,
        model_reason=identity.reason,
        tracker=plan.clip.track.tracker,
        track_was_cached=plan.clip.was_cached,
        blender=parts.rendering.blender.name,
        enhancer=enhancer_name(enhancer) if enhancer else None,
        decoding=plan.video.decoding,
        encoding=written.encoder,
        providers=provider_account(job.execution, parts.uses_onnx_runtime),
        audio=written.audio_note,
        changes=written.changes,
        dropped=written.dropped,
        frames=plan.counts,
        stages=job.clock.timings(),
        wall_s=job.clock.wall_s,
        cpu_s=job.clock.cpu_s,
        peak_rss_bytes=peak_resident_bytes(),
        jobs=jobs,
    )
