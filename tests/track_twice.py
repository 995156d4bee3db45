"""A program that tracks a video in one pass and by processes: pytest has threads, and such a process is not copied.

python -m tests.track_twice VIDEO JOBS FOLDER UNTIL_S
"""

import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipsync_core.catalogue import load_inference
from lipsync_core.clock import StageClock
from lipsync_core.face.follow import FaceFollower
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.store import TrackStore
from lipsync_core.face.track import ReadArrays, TrackedFace
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.source_video import SourceVideo
from lipsync_core.threads import no_thread_pools
from lipsync_core.tracking import TrackedClip, TrackPass
from lipsync_core.workspace import Workspace

_ARRAYS = ("frame_pts", "boxes", "scores", "landmarks", "covered")


class _NotingFollower(FaceFollower):
    notes: Path

    def follow(self, frame: SourceFrame) -> TrackedFace | None:
        (self.notes / f"{os.getpid()}").touch()
        return super().follow(frame)


class _NotingTracker(MediapipeTracker):
    def follower(self, state: ReadArrays | None = None) -> FaceFollower:
        return _NotingFollower(self._detector, self._fitter, self._face, state)


def main(video: Path, jobs: int, folder: Path, until_s: str) -> None:
    """Print what is the same, and how many processes have tracked."""
    store = ModelStore(Workspace.default().models)
    tracker, generator = _NotingTracker(store), load_inference(JobOptions(model="viseme"), store).generator
    clips, processes, timings = [], [], []
    for each in (1, jobs):
        notes = folder / f"{each}-notes"
        notes.mkdir(parents=True)
        _NotingFollower.notes = notes
        track_pass, clock = TrackPass(tracker, generator, TrackStore(folder / f"{each}")), StageClock()
        needed_s = Fraction(until_s) if until_s else None
        clips.append(track_pass.run(SourceVideo.probed(video), needed_s, clock, lambda _: None, each))
        processes.append(sorted(int(note.name) for note in notes.iterdir()))
        timings.append({row.stage: row.items for row in clock.timings()})
    told = {
        "frames": [len(clip.track) for clip in clips],
        "complete": [clip.track.is_complete for clip in clips],
        "last": [clip.track.last_duration for clip in clips],
        "differ": _differences(*clips),
        "processes": [len(pids) for pids in processes],
        "here": [os.getpid() in pids for pids in processes],
        "tracked": [items["track"] for items in timings],
        "analysed": [items["analyse"] for items in timings],
    }
    sys.stdout.write(json.dumps(told))


def _differences(one: TrackedClip, other: TrackedClip) -> list[str]:
    arrays = {name: (getattr(one.track, name), getattr(other.track, name)) for name in _ARRAYS}
    names = sorted(one.findings.keys() | other.findings.keys())
    found = {name: (one.findings.get(name), other.findings.get(name)) for name in names}
    return [name for name, both in (arrays | found).items() if not _are_same(*both)]


def _are_same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


if __name__ == "__main__":
    with no_thread_pools():
        main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
