"""Compares the cost of one job in Wav2Lip's public implementation and in this one, as ratios of alternating runs.

DIR is your own checkout of github.com/Rudrabha/Wav2Lip, commit 5c90fa9. It needs one change, as today's librosa takes
keyword arguments only: pass the first two arguments of `librosa.filters.mel` in `audio.py` as `sr` and `n_fft`. PYTHON
has its packages (librosa, torch, opencv-python-headless, tqdm, scipy). Both get the same weights, clip (153 frames of
720p at 30 frames a second), 9.3 s of speech and face box. The weights are a checkpoint of yours, or by default noise,
which costs the machine the same work.

    python benchmarks/compare_upstream.py --upstream DIR [--python PYTHON] [--checkpoint PTH] [--rounds 3]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
from process import Cost, run

_BENCHMARKS = Path(__file__).resolve().parent
_DEMO = _BENCHMARKS.parent / "demo"
_OUR_STEP = "import sys; sys.path.insert(0, sys.argv.pop(1)); import fixed_box; fixed_box.main()"
_SPEECH_S = 9.3
_SOURCE_FRAMES = 153
_BOX = ("150", "520", "430", "710")  # top, bottom, left, right of the face in the demo clip, chin included
_ROW = "{:<14}{:>10}{:>10}{:>12}{:>10}"


@dataclass(frozen=True, slots=True)
class Job:
    """The inputs of both implementations."""

    checkpoint: Path
    network: Path  # the checkpoint as imported here
    video: Path
    speech: Path


@dataclass(frozen=True, slots=True)
class Turn:
    """The cost of one run of the job, and the number of frames that it wrote."""

    cost: Cost
    frames: int


def prepare(folder: Path, checkpoint: Path | None) -> Job:
    """Make the clip, the speech and the weights in `folder`."""
    job = Job(checkpoint or folder / "seeded.pth", folder / "network.onnx", folder / "clip.mp4", folder / "speech.wav")
    if checkpoint is None:
        _our_step("seed", job.checkpoint)
    _our_step("import", job.checkpoint, job.network)
    run([sys.executable, _DEMO / "make_face_clip.py", job.video, "--frames", str(_SOURCE_FRAMES)])
    with wave.open(str(_DEMO / "speech.wav")) as whole, wave.open(str(job.speech), "wb") as cut:
        cut.setparams(whole.getparams())
        cut.writeframes(whole.readframes(round(_SPEECH_S * whole.getframerate())))
    return job


def ours(job: Job, folder: Path) -> Turn:
    """Run the job with this library, which takes the box from a tracker."""
    output = folder / "ours.mp4"
    cost = _our_step("speak", job.network, job.video, job.speech, output, "--box", *_BOX)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return Turn(cost, _frames(output))


def upstream(job: Job, folder: Path, python: Path) -> Turn:
    """Run the public implementation's command line in a copy of the checkout, with an `ffmpeg` on its path."""
    output, checkout = folder / "upstream.mp4", folder / "upstream"
    files = ("--checkpoint_path", job.checkpoint, "--face", job.video, "--audio", job.speech, "--outfile", output)
    path = os.pathsep.join([str(folder / "programs"), os.environ["PATH"]])
    log = folder / "upstream.log"
    try:
        cost = run(
            [python, "inference.py", *files, "--box", *_BOX],
            log,
            errors=subprocess.STDOUT,
            folder=checkout,
            environment={**os.environ, "PATH": path},
        )
    except RuntimeError as exc:
        raise RuntimeError(f"the checkout fails:\n{log.read_text()[-2000:]}") from exc
    return Turn(cost, _frames(output))


def _our_step(*words: str | Path) -> Cost:
    return run([sys.executable, "-c", _OUR_STEP, _BENCHMARKS, *words])


def _frames(movie: Path) -> int:
    with av.open(str(movie)) as container:
        return sum(1 for _ in container.decode(video=0))


def _copy_checkout(source: Path, folder: Path) -> None:
    """Copy the checkout without its history and weights, and provide `ffmpeg`, the only program that it calls."""
    shutil.copytree(source, folder / "upstream", ignore=shutil.ignore_patterns(".git", "*.pth", "*.mp4", "*.avi"))
    (folder / "upstream" / "temp").mkdir(exist_ok=True)
    (folder / "programs").mkdir()
    (folder / "programs" / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())


def _print_turn(name: str, turn: Turn) -> None:
    cost = turn.cost
    numbers = (f"{cost.cpu_s:.1f}", f"{cost.wall_s:.1f}", f"{cost.peak_bytes / 1e6:.0f}", str(turn.frames))
    print(_ROW.format(name, *numbers), flush=True)


def _print_ratios(theirs: list[Turn], own: list[Turn]) -> None:
    """Print the medians of the rounds' ratios: within a round, a slow machine slows both implementations."""
    pairs = [(ours.cost, theirs.cost) for ours, theirs in zip(own, theirs, strict=True)]
    ratios = (
        statistics.median(ours.cpu_s / theirs.cpu_s for ours, theirs in pairs),
        statistics.median(ours.wall_s / theirs.wall_s for ours, theirs in pairs),
        statistics.median(ours.peak_bytes / theirs.peak_bytes for ours, theirs in pairs),
    )
    print(_ROW.format("ratio", *(f"{ratio:.2f}" for ratio in ratios), ""))
    print(_ROW.format("limit", "0.50", "0.50", "0.25", ""))


def main() -> int:
    """Read the command line, run, print the table."""
    parser = argparse.ArgumentParser(description="A job beside the same job by the public implementation.")
    parser.add_argument("--upstream", type=Path, metavar="DIR", help="a checkout of Rudrabha/Wav2Lip")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter with its packages")
    parser.add_argument("--checkpoint", type=Path, metavar="PTH", help="weights of yours")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.upstream is None:
        print("compare_upstream: left out, as it needs --upstream DIR, a checkout of Rudrabha/Wav2Lip")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy_checkout(given.upstream, folder)
        job = prepare(folder, given.checkpoint and given.checkpoint.resolve())
        print(_ROW.format("", "CPU s", "wall s", "peak MB", "frames"))
        theirs, own = [], []
        for _ in range(given.rounds):
            theirs.append(upstream(job, folder, given.python.absolute()))
            _print_turn("upstream", theirs[-1])
            own.append(ours(job, folder))
            _print_turn("ours", own[-1])
        _print_ratios(theirs, own)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
