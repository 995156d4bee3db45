"""Compares the cost of a job with that of a plain transcode of the same frames.

The ffmpeg command line transcodes the demo clip with the same x264 settings and the same speech; `lipsync run`
does the whole job on it. They alternate, and each round gives its own ratios, because a slow machine then slows both.
CPU-seconds are those of the whole process, start-up included; those of a stage include its codec's.

    python benchmarks/speed.py [--rounds 5] [--clip VIDEO --speech AUDIO]
"""

import argparse
import json
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
from process import Cost, one_stream, run

from lipsync_core.workspace import Workspace

_REPOSITORY = Path(__file__).resolve().parents[1]
#: The stages that a transcode also has, and the blending between them.
_STREAM_STAGES = frozenset({"decode", "blend", "encode", "mux"})
_ROW = "{:<46}{:>8}{:>8}{:>8}{:>12}"


@dataclass(frozen=True, slots=True)
class Round:
    """One transcode and one job."""

    transcode: Cost
    job: Cost
    peak_bytes: int  # of the job
    stream_cpu_s: float  # decode + blend + encode + mux of the render pass
    media_s: float


def transcode(clip: Path, speech: Path, output: Path) -> Cost:
    """Run the ffmpeg command line with the product's default settings."""
    inputs = ("-v", "error", "-nostdin", "-y", "-i", clip, "-i", speech, "-map", "0:v", "-map", "1:a")
    codecs = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac", "-b:a", "192k")
    return run([imageio_ffmpeg.get_ffmpeg_exe(), *inputs, *codecs, "-movflags", "+faststart", output])


def one_round(clip: Path, speech: Path, home: Path) -> Round:
    """Run the transcode, then the job without and with a stored face track."""
    reference = transcode(clip, speech, home / "transcoded.mp4")
    shutil.rmtree(Workspace.below(home).cache, ignore_errors=True)
    command = one_stream(clip, speech, home)
    job = run(command, home / "job.json")
    peak_bytes = json.loads((home / "job.json").read_text())["peak_rss_bytes"]
    run(command, home / "render.json")  # the track is stored now, so only the render pass runs
    report = json.loads((home / "render.json").read_text())
    stream_cpu_s = sum(stage["cpu_s"] for stage in report["stages"] if stage["stage"] in _STREAM_STAGES)
    return Round(reference, job, peak_bytes, stream_cpu_s, report["output"]["duration_s"])


def _print_row(name: str, values: list[float], limit: str) -> None:
    numbers = (f"{value:.2f}" for value in (min(values), statistics.median(values), max(values)))
    print(_ROW.format(name, *numbers, limit), flush=True)


def main() -> int:
    """Read the command line, run, print the table."""
    parser = argparse.ArgumentParser(description="A lip-sync job beside a plain transcode.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", type=Path, default=_REPOSITORY / "demo" / "face.mp4")
    parser.add_argument("--speech", type=Path, default=_REPOSITORY / "demo" / "speech.wav")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(Workspace.default().models, Workspace.below(home).models)
        rounds = [one_round(options.clip, options.speech, home) for _ in range(options.rounds)]
    print(_ROW.format(f"{options.clip.name}, {options.rounds} rounds", "min", "median", "max", "limit"))
    _print_row("transcode, CPU s", [turn.transcode.cpu_s for turn in rounds], "")
    stream = [turn.stream_cpu_s / turn.transcode.cpu_s for turn in rounds]
    _print_row("decode + blend + encode + mux / transcode, CPU", stream, "1.15")
    _print_row("whole job / transcode, CPU", [turn.job.cpu_s / turn.transcode.cpu_s for turn in rounds], "2.20")
    _print_row("whole job / real time, wall", [turn.job.wall_s / turn.media_s for turn in rounds], "1.00")
    _print_row("peak memory, MB", [turn.peak_bytes / 1e6 for turn in rounds], "450")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
