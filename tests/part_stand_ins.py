"""A program that has processes do parts of nothing, and writes down what happens, line by line.

python -m tests.part_stand_ins KIND JOBS FOLDER
"""

import os
import signal
import sys
import time
from pathlib import Path

from lipsync_core.clock import StageClock
from lipsync_core.division import divided
from lipsync_core.errors import LipSyncError, NoVideoError
from lipsync_core.part_processes import PartProcesses, can_copy_this_process
from lipsync_core.report import Progress, ProgressCallback

FRAMES, PARTS = 100, 12
_BAD = 5  # the part that something happens to


class StandInWork:
    """Does a part by writing a file."""

    part_name = "a part of nothing"
    part_frames = tuple(map(len, divided(FRAMES, PARTS)))

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder

    def do(self, number: int, clock: StageClock, progress: ProgressCallback) -> Path:
        """See `PartWork.do`."""
        frames = self.part_frames[number]
        note(self._folder, f"begun {number} {os.getpid()}")
        progress(Progress("render", 1, frames))
        if number == _BAD:
            self._suffer()
        path = self._folder / "parts" / str(number)
        path.touch()
        with clock.stage("encode", items=frames):
            progress(Progress("render", frames, frames))
        note(self._folder, f"done {number} {os.getpid()}")
        return path

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
    """Take the parts: write down each one in order."""
    assert can_copy_this_process()
    (folder / "parts").mkdir()
    clock = StageClock()
    try:
        with PartProcesses(StandInWork(kind, folder), jobs) as processes:
            progress = lambda step: note(folder, f"progress {step.done} of {step.total}")  # noqa: E731
            for path in processes.in_order(clock, progress):
                note(folder, f"taken {path.name} {len(list(path.parent.iterdir()))}")
                path.unlink()
        note(folder, f"encoded {sum(row.items for row in processes.timings)}")
    except LipSyncError as error:
        note(folder, f"failed {error.code} {error.message}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
