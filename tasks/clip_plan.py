"""The layout of a job's output, worked out from its stored face track."""

from lipsync_core import clip_plan
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.media.probe import require_video
from lipsync_core.timeline import plan_timeline
from lipsync_core.tracking import TrackedClip
from tasks.job import JobInputs, ServiceJob, TrackReference

_NAME = "the video"  # in messages: where it came from stands beside them


def plan_clip(job: ServiceJob, inputs: JobInputs, clip: TrackedClip, track: TrackReference) -> ClipPlan:
    """Lay out the output.

    Raises:
        FaceError: fewer frames than asked for can be synced.
        OptionError: the excerpt lies behind the end.
    """
    info = require_video(inputs.video.path)
    timeline = plan_timeline(clip.track, track.audio_s, job.options)
    plan = clip_plan.plan_clip(clip, timeline, info, job.parts, _NAME)
    plan.require_synced(_NAME, job.options.min_synced)
    return plan
