"""Compares the peak memory of a job on one minute of 1080p and on ten minutes: it must not grow with the clip.

Clip and speech are short files whose packets are copied repeatedly. The benchmark takes about as long as encoding
eleven minutes of 1080p video. Beside the job's own figure it prints what was seen from outside: the proportional set
size of all its processes, looked at five times a second.

    python benchmarks/memory.py [--minutes 10] [--jobs 1] [--preset ultrafast]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg
import psutil
from process import one_stream, run

from lipsync_core.workspace import Workspace

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY / "demo"))
from make_face_clip import make_face_clip  # noqa: E402

_PIECE_S = 10
_LOOK_S = 0.2
_SPEECH = _REPOSITORY / "demo" / "speech.wav"


def repeated(source: Path, seconds: int, output: Path) -> Path:
    """Write `seconds` of `source`, repeated without decoding, to `output`."""
    options = ("-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", source, "-t", str(seconds), "-c", "copy")
    run([imageio_ffmpeg.get_ffmpeg_exe(), *options, output])
    return output


def peak_of_job(minutes: int, piece: Path, home: Path, options: Sequence[str]) -> tuple[int, int]:
    """The peak memory in bytes of a whole job on `minutes` of video, tracking included: by its report, and as seen.

    Raises:
        RuntimeError: the job failed.
    """
    seconds = 60 * minutes
    video = repeated(piece, seconds, home / f"{minutes}.mp4")
    speech = repeated(_SPEECH, seconds, home / f"{minutes}.wav")
    command = [*one_stream(video, speech, home), *options]
    began_s = time.monotonic()
    with (home / "report.json").open("wb") as report:
        process = subprocess.Popen(command, stdout=report)
        seen_bytes = _most_bytes(process)
    if process.returncode:
        raise RuntimeError(f"the job ended with status {process.returncode}")
    peak_bytes = int(json.loads((home / "report.json").read_text())["peak_rss_bytes"])
    print(
        f"{minutes} min of 1920x1080: peak {peak_bytes / 1e6:.0f} MB, seen from outside {seen_bytes / 1e6:.0f} MB, "
        f"{time.monotonic() - began_s:.0f} s",
        flush=True,
    )
    return peak_bytes, seen_bytes


def _most_bytes(process: "subprocess.Popen[bytes]") -> int:
    """The most memory of a process and those below it, until it ends."""
    most_bytes = 0
    while process.poll() is None:
        together_bytes = 0
        with suppress(psutil.NoSuchProcess):
            head = psutil.Process(process.pid)
            for each in (head, *head.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    together_bytes += each.memory_full_info().pss
        most_bytes = max(most_bytes, together_bytes)
        time.sleep(_LOOK_S)
    return most_bytes


def main() -> int:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description="The memory of a short job beside that of a long one.")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--preset", default="medium")
    options = parser.parse_args()
    chosen = ("--jobs", str(options.jobs), "--preset", options.preset)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(Workspace.default().models, Workspace.below(home).models)
        piece = home / "piece.mp4"
        make_face_clip(piece, frames=_PIECE_S * 25, size=(1920, 1080), rate=25)
        short, long = (peak_of_job(minutes, piece, home, chosen) for minutes in (1, options.minutes))
    by_report, by_look = (after / before for before, after in zip(short, long, strict=True))
    print(f"ratio {by_report:.3f}, from outside {by_look:.3f} (limit 1.10)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
