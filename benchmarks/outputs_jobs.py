"""The fixed set of jobs whose outputs are compared, and the inputs that are made for them.

The clips are those that lie beside the repository. The inputs are cut from them by copying packets, so that they are
the same on every machine.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg
from outputs_checkout import Checkout, Ended
from outputs_digest import MovieDigest, digest_movie, sha256_of
from process import run

MPEG4, VFR, SQUARE = "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "retalking_face1.mp4", "retalking_face3.mp4"
HEVC, CUTS, CLOSE = "latentsync_demo1_video.mp4", "facerec_short_hamilton_clip.mp4", "liveportrait_d3.mp4"
STEREO, WIDE, MONO = "retalking_audio1.wav", "sadtalker_imagine.wav", "latentsync_demo1_audio.wav"
#: Made inputs: the options of ffmpeg in front of the source, the source, and behind it.
_MADE: Final[dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]]] = {
    "short-mpeg4.mp4": ((), MPEG4, ("-t", "2", "-an", "-c", "copy")),
    "short-square.mp4": ((), SQUARE, ("-t", "1.5", "-an", "-c", "copy")),
    "short-hevc.mp4": ((), HEVC, ("-t", "2", "-an", "-c", "copy")),
    "turned.mp4": (("-display_rotation:v", "90"), SQUARE, ("-t", "1.5", "-an", "-c", "copy")),
    "short-stereo.wav": ((), STEREO, ("-t", "1.5", "-c", "copy")),
    "short-wide.wav": ((), WIDE, ("-t", "1.2", "-c", "copy")),
    "short-mono.wav": ((), MONO, ("-t", "2", "-c", "copy")),
    "still.png": ((), SQUARE, ("-frames:v", "1")),
    "blank.mp4": (("-f", "lavfi"), "color=gray:size=160x120:rate=25", ("-frames:v", "10", "-threads", "1")),
}
_TIMES: Final = ("wall_s", "cpu_s", "peak_rss_bytes")  # fields of the report that differ from run to run


@dataclass(frozen=True, slots=True)
class LocalJob:
    """One `lipsync run`."""

    name: str
    video: str
    audio: str
    options: tuple[str, ...]
    is_whole: bool = False  # it wants the whole network of Wav2Lip
    suffix: str = ".mp4"
    keeps_track: bool = False  # it finds the face track of the job before


@dataclass(frozen=True, slots=True)
class LocalOutcome:
    """A `lipsync run` that has ended."""

    status: int
    stderr: str
    report: dict[str, Any] | None  # without times and memory
    movie: MovieDigest | None


_VISEME, _WAV2LIP = ("--model", "viseme"), ("--model", "wav2lip")
_LOSSLESS = ("--crf", "0", "--preset", "ultrafast")
LOCAL_JOBS: Final = (
    LocalJob("viseme-vfr", VFR, STEREO, (*_VISEME, "--end", "2")),
    LocalJob("viseme-hevc", HEVC, MONO, (*_VISEME, "--end", "1.5")),
    LocalJob("viseme-mpeg4", MPEG4, WIDE, (*_VISEME, "--end", "2")),
    LocalJob("viseme-second-sound", MPEG4, STEREO, (*_VISEME, "--end", "1"), keeps_track=True),
    LocalJob("viseme-length-video", "short-mpeg4.mp4", "short-wide.wav", (*_VISEME, "--length", "video")),
    LocalJob("viseme-loop", "short-square.mp4", WIDE, (*_VISEME, "--extend", "loop", "--end", "3.5")),
    LocalJob("viseme-pingpong", "short-square.mp4", WIDE, (*_VISEME, "--end", "3.5")),
    LocalJob("viseme-freeze", "short-square.mp4", MONO, (*_VISEME, "--extend", "freeze", "--end", "2"), suffix=".mov"),
    LocalJob("viseme-excerpt", VFR, WIDE, (*_VISEME, "--start", "1.1", "--end", "2.3")),
    LocalJob("viseme-poisson", SQUARE, STEREO, (*_VISEME, "--blend", "poisson", "--end", "1")),
    LocalJob("viseme-still", "still.png", WIDE, (*_VISEME, "--end", "1.5")),
    LocalJob("viseme-turned", "turned.mp4", STEREO, (*_VISEME, "--end", "1")),
    LocalJob("viseme-leftmost", CUTS, STEREO, (*_VISEME, "--face", "0", "--end", "2")),
    LocalJob("viseme-sound-of-a-video", SQUARE, HEVC, (*_VISEME, "--end", "1")),
    LocalJob("viseme-lossless", CLOSE, STEREO, (*_VISEME, *_LOSSLESS, "--end", "1")),
    LocalJob("wav2lip", SQUARE, STEREO, (*_WAV2LIP, "--end", "1")),
    LocalJob("wav2lip-lossless", CLOSE, WIDE, (*_WAV2LIP, *_LOSSLESS, "--end", ".6")),
    LocalJob("wav2lip-feather", VFR, STEREO, (*_WAV2LIP, "--blend", "feather", "--end", ".6")),
    LocalJob("wav2lip-auto", HEVC, MONO, ("--end", ".4")),
    LocalJob("wav2lip-upstream", SQUARE, WIDE, (*_WAV2LIP, "--compat", "upstream"), is_whole=True),
    LocalJob("fails-no-face", "blank.mp4", STEREO, _VISEME),
    LocalJob("fails-few-faces", CUTS, STEREO, (*_VISEME, "--face", "0", "--end", "2", "--min-synced", ".9")),
    LocalJob("fails-no-audio", SQUARE, "short-square.mp4", _VISEME),
    LocalJob("fails-no-video", STEREO, STEREO, _VISEME),
    LocalJob("fails-no-file", "none.mp4", STEREO, _VISEME),
    LocalJob("fails-no-model", SQUARE, STEREO, ("--model", "wav2lip-gan")),
    LocalJob("fails-no-such-model", SQUARE, STEREO, ("--model", "viseme2")),
    LocalJob("fails-bad-option", SQUARE, STEREO, (*_VISEME, "--crf", "99")),
    LocalJob("fails-bad-excerpt", SQUARE, STEREO, (*_VISEME, "--start", "60")),
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The clips, and the folder of the inputs made from them."""

    clips: Path
    made: Path

    def path(self, name: str) -> Path:
        """The path of the input of that name; a missing one would lie among the made ones."""
        found = self.clips / name
        return found if found.exists() else self.made / name

    def sums(self) -> dict[str, str]:
        """The sha256 of each input, made or not."""
        files = [*self.clips.iterdir(), *self.made.iterdir()]
        return {path.name: sha256_of(path) for path in sorted(files) if path.suffix in (".mp4", ".wav", ".png")}

    def make(self) -> None:
        """Write the made inputs."""
        self.made.mkdir(parents=True, exist_ok=True)
        quiet = ("-v", "error", "-nostdin", "-y")
        plain = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
        for name, (before, source, behind) in _MADE.items():
            address = source if "lavfi" in before else self.clips / source
            command = [imageio_ffmpeg.get_ffmpeg_exe(), *quiet, *before, "-i", address, *behind, *plain]
            run([*command, self.made / name])


def run_local(checkout: Checkout, inputs: Inputs, job: LocalJob) -> tuple[LocalOutcome, int | None]:
    """The job's outcome, and the peak memory of its process (None if it failed)."""
    home = checkout.whole_home if job.is_whole else checkout.home
    if not job.keeps_track:
        shutil.rmtree(home / "cache", ignore_errors=True)
    output = checkout.work / "outputs" / f"{job.name}{job.suffix}"
    output.parent.mkdir(exist_ok=True)
    output.unlink(missing_ok=True)
    files = (inputs.path(job.video), inputs.path(job.audio), "-o", output, "--home", home)
    ended = checkout.lipsync("run", *files, *job.options, "--json", "--quiet")
    report, peak_bytes = _report(ended)
    movie = digest_movie(output) if output.exists() else None
    stderr = ended.stderr.replace(str(inputs.clips), "CLIPS").replace(str(inputs.made), "MADE")
    return LocalOutcome(ended.status, stderr, report, movie), peak_bytes


def probed(checkout: Checkout, inputs: Inputs) -> Iterator[tuple[str, Any]]:
    """The output of `lipsync probe --json` for each input, by name."""
    for name in inputs.sums():
        ended = checkout.lipsync("probe", inputs.path(name), "--json").require_success()
        yield name, {**json.loads(ended.stdout), "path": name}


def help_texts(checkout: Checkout, *words: str) -> Iterator[tuple[str, str]]:
    """The name of each command below `words`, these included, and its help."""
    text = checkout.lipsync(*words, "--help").require_success().stdout
    yield " ".join(["lipsync", *words]), text
    commands = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    for line in commands.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            yield from help_texts(checkout, *words, line.split()[0])


def _report(ended: Ended) -> tuple[dict[str, Any] | None, int | None]:
    if not ended.stdout:
        return None, None
    report = json.loads(ended.stdout)
    kept = {name: value for name, value in report.items() if name not in _TIMES}
    kept["output"] = {name: value for name, value in report["output"].items() if name != "path"}
    kept["stages"] = [f"{stage['stage']}: {stage['items']}" for stage in report["stages"]]
    return kept, int(report["peak_rss_bytes"])
