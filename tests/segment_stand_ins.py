"""A program that has processes render segments which are no pictures, and writes down what happens, line by line.

python -m tests.segment_stand_ins KIND JOBS FOLDER
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lipsync_core.clock import StageClock
from lipsync_core.errors import LipSyncError, NoVideoError
from lipsync_core.movie import MovieSegment
from lipsync_core.movie_pictures import WrittenPictures
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.segment_processes import SegmentProcesses, can_copy_this_process
from lipsync_core.segment_work import SegmentWork, divided

FRAMES, SEGMENTS = 100, 12
_BAD = 5  # the segment that something happens to


class StandInWork:
    """Renders a segment by writing a line into its file."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.plan = SimpleNamespace(timeline=range(FRAMES))
        self.request = SimpleNamespace(output=folder / "out.mp4")
        self._kind = kind
        self._folder = folder

    def render(self, frames: range, path: Path, clock: StageClock, progress: ProgressCallback) -> MovieSegment:
        """See `SegmentWork.render`."""
        number = int(path.stem.removeprefix("segment-"))
        note(self._folder, f"begun {number} {os.getpid()}")
        progress(Progress("render", 1, len(frames)))
        if number == _BAD:
            self._suffer()
        path.write_text(f"{frames}")
        with clock.stage("encode", items=len(frames)):
            progress(Progress("render", len(frames), len(frames)))
        note(self._folder, f"rendered {number} {os.getpid()}")
        return MovieSegment(frames, path, WrittenPictures(2, 2, (), {}))

    def _suffer(self) -> None:
        if self._kind == "fails":
            raise NoVideoError("nothing to see", "give another")
        if self._kind == "is a bug":
            raise ValueError("nobody thought of this")
        killed = self._folder / "killed"
        if self._kind == "is killed" or (self._kind == "is killed once" and not killed.exists()):
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._kind == "waits":
            time.sleep(600)


def note(folder: Path, line: str) -> None:
    """Add a line to the account of what happens."""
    with (folder / "account").open("a") as account:
        account.write(line + "\n")


def main(kind: str, jobs: int, folder: Path) -> None:
    """Join the segments: write down each one in order."""
    assert can_copy_this_process()
    work = cast(SegmentWork, cast(Any, StandInWork(kind, folder)))
    segments = folder / "segments"
    segments.mkdir()
    try:
        with SegmentProcesses(work, divided(FRAMES, SEGMENTS), jobs, segments) as processes:
            progress = lambda step: note(folder, f"progress {step.done} of {step.total}")  # noqa: E731
            for number, segment in enumerate(processes.rendered(progress)):
                assert segment.path.read_text() == str(segment.frames)
                note(folder, f"joined {number} {len(segment.frames)} {len(list(segments.iterdir()))}")
        note(folder, f"encoded {sum(row.items for row in processes.timings)}")
    except LipSyncError as error:
        note(folder, f"failed {error.code} {error.message}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
