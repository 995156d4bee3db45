"""Measures a video against a sound with SyncNet, in one pass through both that holds a few windows at a time.

The figures are those of Wav2Lip's evaluation (Prajwal et al. 2020, "A Lip Sync Expert Is All You Need for Speech to Lip
Generation In the Wild", section 4; evaluation/scores_LSE, for videos that are no data set's): LSE-D is the least mean
distance over the shifts, LSE-C the median over the shifts less that. docs/score.md says what differs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.track import FaceTrack
from lipsync_core.listening import speech_of
from lipsync_core.media.decode import decode_in_order
from lipsync_core.media.planes import Box
from lipsync_core.options import JobOptions
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.score_figures import SyncNetScoring
from lipsync_core.source_video import SourceVideo
from lipsync_core.syncnet.network import FRAME_HZ, SyncNetNetwork
from lipsync_core.syncnet.shifts import ShiftedDistances
from lipsync_core.syncnet.stretches import FEWEST_FRAMES, LEAST_PX, Stretch, crop_upright, find_stretches
from lipsync_core.syncnet.windows import SoundTape, stretch_windows, windows_needed
from lipsync_core.timeline import plan_timeline

STAGE = "syncnet"
_NO_STRETCH = f"no face is larger than {LEAST_PX} px for more than {FEWEST_FRAMES / FRAME_HZ:g} s without a break"


@dataclass(frozen=True, slots=True, eq=False)
class Talk:
    """A video with a known face, and the sound that it is measured against."""

    video: SourceVideo
    track: FaceTrack
    audio: Path
    end_s: Fraction  # of the sound
    options: JobOptions  # the sound's track counts


def measure_talk(
    talk: Talk, network: SyncNetNetwork, clock: StageClock, progress: ProgressCallback = lambda _: None
) -> SyncNetScoring:
    """SyncNet's figures, or why there are none; timed as stage "syncnet".

    Raises:
        InputError: the video or the sound cannot be read.
        ModelError: the network fails.
    """
    stretches = find_stretches(talk.track, _shown(talk))
    total = sum(windows_needed(len(stretch)) for stretch in stretches)
    crops = _crops(talk, stretches, clock)
    tape = SoundTape(speech_of(talk.audio, talk.options, clock))
    distances, done = ShiftedDistances(), 0
    for stretch in stretches:
        for windows in stretch_windows(crops, tape, stretch.first, windows_needed(len(stretch))):
            with clock.stage(STAGE, items=len(windows), provider=network.provider):
                distances.add(network.embed(windows.cepstra, windows.faces))
            done += len(windows)
            progress(Progress(STAGE, done, total))
        distances.end_stretch()
    figures = distances.figures()
    return SyncNetScoring(reason=_NO_STRETCH) if figures is None else SyncNetScoring(figures)


def _shown(talk: Talk) -> NDArray[np.int32]:
    """(T,) the frames of the video that are seen at 25 pictures a second under the sound."""
    regular = JobOptions(fps=Fraction(FRAME_HZ), length="video", end_s=talk.end_s)
    return plan_timeline(talk.track, talk.end_s, regular, talk.video.lead_s).source_indexes


def _crops(talk: Talk, stretches: Sequence[Stretch], clock: StageClock) -> Iterator[NDArray[np.uint8]]:
    """(224, 224, 3) uint8 BGR of every picture of `stretches`, but the last one of each, which no window shows."""
    order = [int(frame) for stretch in stretches for frame in stretch.frames[:-1]]
    places = ((Box(*box), stretch.turns) for stretch in stretches for box in stretch.boxes[:-1].tolist())
    frame_pts = talk.track.frame_pts.tolist()
    frames = decode_in_order(talk.video.path, order, clock, frame_pts=frame_pts, reading=talk.video.reading)
    for frame, (box, turns) in zip(frames, places, strict=True):
        with clock.stage(STAGE):
            crop = crop_upright(frame, box, turns)
        yield crop
