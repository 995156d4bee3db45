"""Track and infer of one job: the parts that they need, and the names of their results in shared storage."""

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction

from lipsync_core.catalogue import InferenceParts, load_inference, load_tracking, load_watching
from lipsync_core.clock import StageClock
from lipsync_core.division import part_count
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import Conditions, Watching
from lipsync_core.listening import listen, speech_of
from lipsync_core.source_video import SourceVideo
from lipsync_core.tracking import TrackPass, require_fitting
from tasks.job import ChosenParts, JobInputs, ServiceJob
from tasks.stage_log import StageMeter

_EDITS_FORMAT = 2  # raise it when the meaning of a stored row changes


@dataclass(frozen=True, slots=True, eq=False)
class GpuPoolParts:
    """The tracker and the model that the GPU pool loads. No part that only rendering needs is among them."""

    tracker: FaceTracker
    inference: InferenceParts

    @property
    def chosen(self) -> ChosenParts:
        """Their names, for the CPU pool and the ledger."""
        return ChosenParts(self.inference.identity, self.tracker.name)


@dataclass(frozen=True, slots=True, eq=False)
class Tracking:
    """Track of one job on one machine."""

    job: ServiceJob
    video: SourceVideo
    track_pass: TrackPass
    key: str  # 64 hex digits: the video's bytes, the tracker and the generator's observer

    @property
    def url(self) -> str:
        """The address of the face track."""
        return self.job.shared(f"tracks/{self.key}.npz")


@dataclass(frozen=True, slots=True, eq=False)
class InferenceJob:
    """Track and infer of one job on one machine."""

    job: ServiceJob
    inputs: JobInputs
    parts: GpuPoolParts
    tracking: Tracking
    edits_url: str  # under a hash of all that the edits depend on
    may_divide: bool = False  # the edits of a long movie may be left to other runs, a segment each

    @property
    def is_divided(self) -> bool:
        """Whether the edits are probably left to other runs: the network sees pictures, and the sound is long."""
        spec, longest_s = self.parts.inference.generator.spec, self.job.longest_segment_s
        stated_s = self.inputs.audio.stated_s or Fraction(0)
        sees_pictures = spec.crop_px is not None
        return self.may_divide and sees_pictures and longest_s > 0 and part_count(stated_s, longest_s) > 1


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSound:
    """The part of the sound that the result is for."""

    end_s: Fraction  # its exact end, from the beginning of the whole result: samples are counted, headers lie
    conditions: Conditions | None  # for the generator; None where kept edits or other runs make them unnecessary


def load_gpu_pool_parts(job: ServiceJob) -> GpuPoolParts:
    """Load the tracker and the model that the job's options name.

    Raises:
        LipSyncError: as `lipsync_core.catalogue.load_parts`.
    """
    tracker = load_tracking(job.options, job.models, job.execution)
    inference = load_inference(job.options, job.models, job.execution)
    require_fitting(tracker, inference.generator.spec)
    return GpuPoolParts(tracker, inference)


def open_inference(job: ServiceJob, inputs: JobInputs, parts: GpuPoolParts, may_divide: bool = False) -> InferenceJob:
    """Name the results of track and infer by what they depend on."""
    tracking = open_tracking(job, inputs.video, parts.tracker, parts.inference.generator)
    edits_url = job.shared(f"edits/{_edits_key(job, inputs, parts, tracking.key)}.npy")
    return InferenceJob(job, inputs, parts, tracking, edits_url, may_divide)


def open_tracking(job: ServiceJob, video: SourceVideo, tracker: FaceTracker, generator: Watching) -> Tracking:
    """Name the face track by what it depends on."""
    track_pass = TrackPass(tracker, generator, job.tracks)
    return Tracking(job, video, track_pass, track_pass.key(video))


def load_open_tracking(job: ServiceJob, video: SourceVideo) -> Tracking:
    """As `open_tracking`, with the parts that the job's options name, but no network of the model.

    Raises:
        LipSyncError: as `lipsync_core.catalogue.load_parts`.
    """
    generator = load_watching(job.options, job.models, job.execution)
    return open_tracking(job, video, load_tracking(job.options, job.models, job.execution), generator)


def hear(inference: InferenceJob, meter: StageMeter) -> MeasuredSound:
    """Decode the sound once, for the generator and for its exact length; where edits are kept, for the length alone.

    Raises:
        NoAudioError: no sample lies inside the cut.
        InputError: the sound cannot be read.
        TransientError: the shared storage does not answer.
    """
    job, generator = inference.job, inference.parts.inference.generator
    audio = inference.inputs.audio.path
    meter.was_cached = job.files.take(inference.edits_url)
    if meter.was_cached or inference.is_divided:
        return MeasuredSound(job.options.start_s + _counted_s(inference, meter.clock), None)
    heard = listen(generator, audio, job.options, meter.clock)
    return MeasuredSound(heard.end_s, heard.conditions)


def _counted_s(inference: InferenceJob, clock: StageClock) -> Fraction:
    speech = speech_of(inference.inputs.audio.path, inference.job.options, clock)
    for _ in speech:
        continue
    return speech.duration_s


def _edits_key(job: ServiceJob, inputs: JobInputs, parts: GpuPoolParts, track_key: str) -> str:
    """Inputs, tracks, model, cut, rate and expression, which the edits depend on, as 64 hex digits.

    The video's track and its deinterlacing are part of the key of the face track. The provider does not count: edits
    of two providers serve each other. Those of another precision do not. What is as in releases without an option
    leaves the key as it was.
    """
    options, model = job.options, parts.inference.identity
    cut = (options.length, options.extend, options.start_s, options.end_s)
    made_by = (model.name, model.version, model.weights_sha256)
    depends_on = [
        _EDITS_FORMAT,
        track_key,
        inputs.video.sha256(),
        inputs.audio.sha256,
        *made_by,
        *map(str, cut),
    ]
    if job.execution.precision != "fp32":
        depends_on.append(job.execution.precision)
    if options.expression != 1.0:
        depends_on.append(f"expression {options.expression}")
    if options.fps is not None:
        depends_on.append(f"fps {options.fps}")
    if inputs.audio.track:
        depends_on.append(f"audio track {inputs.audio.track}")
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
