"""Scores any talking video: the mouth of its face against what the hearing model expects of a sound."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.errors import FaceError, ModelMissingError
from lipsync_core.execution import Execution
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.store import TrackStore
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.listening import listen
from lipsync_core.media.probe import require_audio
from lipsync_core.models.registry import NETWORK
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.providers import choose_provider
from lipsync_core.report import ProgressCallback
from lipsync_core.score.judging import judge
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.motion import SeenMouths, tracked_mouths, wanted_mouth
from lipsync_core.score_figures import SyncNetScoring, SyncScore
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.source_video import SourceVideo
from lipsync_core.syncnet.measuring import STAGE, Talk, measure_talk
from lipsync_core.syncnet.network import SyncNetNetwork
from lipsync_core.threads import no_thread_pools
from lipsync_core.timeline import source_s_needed
from lipsync_core.tracking import TrackPass
from lipsync_core.workspace import Workspace

_SYNCNET = "syncnet"  # its name in the registry
_FEWEST = 25  # frames with a face: a second of most films


@dataclass(frozen=True, slots=True)
class VideoScore:
    """The sync score of a video."""

    video: Path
    audio: Path
    duration_s: float  # that was scored
    frames: int  # in it
    score: SyncScore
    syncnet: SyncNetScoring | None = None  # None where SyncNet is not installed


def score_video(
    video: Path,
    audio: Path | None = None,
    options: JobOptions | None = None,
    workspace: Workspace | None = None,
    progress: ProgressCallback | None = None,
) -> VideoScore:
    """Score the mouth in `video` against `audio`, by default against the video's own sound.

    Where the model `syncnet` is installed, SyncNet measures the two as well.

    Args:
        video: any video that FFmpeg reads.
        audio: any file with sound that FFmpeg reads.
        options: of them the face and the tracks count.
        workspace: where models and stored face tracks live; the user's own folders by default.
        progress: called now and then, from this thread.

    Raises:
        FaceError: less than a second shows an uncovered face.
        ModelCorruptError, LicenceError: SyncNet is installed, and may not be used as it is.
        LipSyncError: as `pipeline.lip_sync`.
    """
    options, workspace = options or JobOptions(), workspace or Workspace.default()
    with no_thread_pools(), memory_shortage_told():
        return _scored(video, audio or video, options, workspace, progress or (lambda _: None))


def _scored(
    video: Path, audio: Path, options: JobOptions, workspace: Workspace, progress: ProgressCallback
) -> VideoScore:
    clock, models = StageClock(), ModelStore(workspace.models)
    syncnet = _open_syncnet(models, clock)
    source = SourceVideo.probed(video, options)
    require_audio(audio, options.audio_track)
    generator = VisemeGenerator.open(models)
    heard = listen(generator, audio, options, clock)
    tracked = TrackPass(MediapipeTracker(models, options.face), generator, TrackStore(workspace.cache / "tracks"))
    track = tracked.run(source, source_s_needed(heard.end_s, options), clock, progress).track
    times_s = _middles_s(track, float(source.lead_s))
    is_scored = times_s <= float(heard.end_s)
    seen = _seen_mouths(track, is_scored)
    if len(seen) < _FEWEST:
        raise FaceError(
            f"{video}: an uncovered face is seen in {len(seen)} frames under the sound",
            "give a video that shows one for a second or more",
        )
    wanted = wanted_mouth(heard.conditions, times_s[0], float(heard.end_s))
    score = judge(seen, times_s, wanted, loud_motion(heard.levels, float(heard.levels_from_s)))
    duration_s = float(times_s[is_scored][-1])
    talk = Talk(source, track, audio, heard.end_s, options)
    found = None if syncnet is None else measure_talk(talk, syncnet, clock, progress)
    return VideoScore(video, audio, duration_s, int(is_scored.sum()), score, found)


def _open_syncnet(models: ModelStore, clock: StageClock) -> SyncNetNetwork | None:
    """The network of SyncNet; None where it is not installed."""
    try:
        network = models.open_usable(_SYNCNET).path(NETWORK)
    except ModelMissingError:
        return None
    with clock.adopting(STAGE):
        return SyncNetNetwork(network, choose_provider(Execution()).opening)


def _middles_s(track: FaceTrack, lead_s: float) -> NDArray[np.float64]:
    """(N,) the middle of the time for which each frame of the video is shown."""
    ends = np.append(track.frame_pts[1:], track.frame_pts[-1] + track.last_duration)
    return np.asarray((track.frame_pts + ends) * (float(track.time_base) / 2) + lead_s, np.float64)


def _seen_mouths(track: FaceTrack, is_scored: NDArray[np.bool_]) -> SeenMouths:
    """The mouths of the frames with a face whose mouth is not covered."""
    numbers = np.flatnonzero(is_scored & track.has_face & ~track.has_covered_mouth)
    openings, widths = tracked_mouths(track.landmarks[numbers])
    return SeenMouths(numbers, openings, widths)
