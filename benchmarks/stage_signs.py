"""What tells from outside that a run is in a stage: the files of its folder, and those that its processes have open."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from lipsync_service.worker.run_processes import processes_below

#: Whether a run is in a stage, by its folder (None before it has one) and its process.
Sign = Callable[[Path | None, int], bool]
_CACHED = "/cache/contents/"  # in the paths of the service's copies of inputs
_MP4 = b"ftyp"


def _fetches(folder: Path | None, _pid: int) -> bool:
    return folder is not None


def _tracks(folder: Path | None, pid: int) -> bool:
    """It decodes the video, which it opens for a moment before, to look at it."""
    if folder is None or not reads_video(pid):
        return False
    time.sleep(0.1)
    return reads_video(pid) and not (folder / "edits.npy").exists()


def _infers(folder: Path | None, _pid: int) -> bool:
    return folder is not None and (folder / "edits.npy").exists()


def _blends(folder: Path | None, _pid: int) -> bool:
    return folder is not None and any(folder.glob("output*"))


def _encodes(folder: Path | None, _pid: int) -> bool:
    return folder is not None and any(path.stat().st_size > 0 for path in folder.glob("output*"))


#: The sign of each stage but the upload, which shows in the storage.
SIGNS: Mapping[str, Sign] = MappingProxyType(
    {"fetch": _fetches, "track": _tracks, "infer": _infers, "blend": _blends, "encode": _encodes}
)


def reads_video(pid: int) -> bool:
    """Whether the process, or a reader below it, has the copy of a video open."""
    for each in (pid, *processes_below(pid)):
        with suppress(OSError):  # it has ended
            files = [str(path.readlink()) for path in Path(f"/proc/{each}/fd").iterdir()]
            if any(_CACHED in file and Path(file).read_bytes()[4:8] == _MP4 for file in files):
                return True
    return False
