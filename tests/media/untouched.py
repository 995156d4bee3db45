"""A whole result without a face in it: read, laid on the timeline and written as a job does it, no pixel edited.

So a test sees what reading and writing alone do to pictures, times and sound, without the cost of a face.
"""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.movie import MovieRequest, WrittenMovie, write_movie
from lipsync_core.options import JobOptions
from lipsync_core.render import ordered_frames
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import plan_timeline


def write_untouched(video: Path, audio: Path, output: Path, options: JobOptions | None = None) -> WrittenMovie:
    """Write `video` with the sound of `audio` as a job would in which no frame has a face."""
    options, clock = options or JobOptions(crf=2, preset="ultrafast"), StageClock()
    source = SourceVideo.probed(video, options.video_track, options.deinterlace)
    track = _without_face(source, clock)
    timeline = plan_timeline(track, _sound_s(audio, options), options, source.lead_s)
    plan = cast(ClipPlan, SimpleNamespace(video=source, clip=SimpleNamespace(track=track), timeline=timeline))
    request = MovieRequest(output, audio, options, EncoderChoice("x264", "h264", "x264", "asked for"), {})
    with closing(ordered_frames(source, track, timeline, clock)) as frames:
        return write_movie(frames, plan, request, clock, lambda _: None)


def _without_face(source: SourceVideo, clock: StageClock) -> FaceTrack:
    frames = [
        (frame.pts, frame.duration, frame.time_base)
        for frame in decode_frames(source.path, clock, reading=source.reading)
    ]
    count = len(frames)
    return FaceTrack(
        tracker="none/1",
        frame_pts=np.array([pts for pts, *_ in frames], np.int64),
        time_base=frames[0][2],
        last_duration=frames[-1][1],
        is_complete=True,
        boxes=np.full((count, 4), np.nan, np.float32),
        scores=np.zeros(count, np.float32),
        landmarks=np.full((count, 5, 3), np.nan, np.float32),
        covered=np.zeros(count, np.bool_),
    )


def _sound_s(audio: Path, options: JobOptions) -> Fraction:
    frames = [(frame.samples, frame.sample_rate) for frame in decode_sound(AudioCut(audio, track=options.audio_track))]
    return Fraction(sum(samples for samples, _ in frames), frames[0][1])
