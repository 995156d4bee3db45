"""Compares the peak memory of a job on one minute of 1080p and on ten minutes: it must not grow with the clip.

Clip and speech are short files whose packets are copied repeatedly. The benchmark takes about as long as encoding
eleven minutes of 1080p video.

    python benchmarks/memory.py [--minutes 10]
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg
from process import one_stream, run

from lipsync_core.workspace import Workspace

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY / "demo"))
from make_face_clip import make_face_clip  # noqa: E402

_PIECE_S = 10
_SPEECH = _REPOSITORY / "demo" / "speech.wav"


def repeated(source: Path, seconds: int, output: Path) -> Path:
    """Write `seconds` of `source`, repeated without decoding, to `output`."""
    options = ("-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", source, "-t", str(seconds), "-c", "copy")
    run([imageio_ffmpeg.get_ffmpeg_exe(), *options, output])
    return output


def peak_of_job(minutes: int, piece: Path, home: Path) -> int:
    """The peak memory in bytes of a whole job, tracking included, on `minutes` of video."""
    seconds = 60 * minutes
    video = repeated(piece, seconds, home / f"{minutes}.mp4")
    speech = repeated(_SPEECH, seconds, home / f"{minutes}.wav")
    command = one_stream(video, speech, home)
    cost = run(command, home / "report.json")
    peak_bytes = int(json.loads((home / "report.json").read_text())["peak_rss_bytes"])
    print(
        f"{minutes} min of 1920x1080: peak {peak_bytes / 1e6:.0f} MB, {cost.wall_s:.0f} s wall, {cost.cpu_s:.0f} CPU s",
        flush=True,
    )
    return peak_bytes


def main() -> int:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description="The memory of a short job beside that of a long one.")
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(Workspace.default().models, Workspace.below(home).models)
        piece = home / "piece.mp4"
        make_face_clip(piece, frames=_PIECE_S * 25, size=(1920, 1080), rate=25)
        short, long = (peak_of_job(minutes, piece, home) for minutes in (1, options.minutes))
    print(f"ratio {long / short:.3f} (limit 1.10)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
