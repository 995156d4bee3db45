"""Measures size, quality and cost of every encoder on the first frames of videos, for docs/encoders.md.

Quality is the PSNR over all samples of the three planes, against the pictures that the encoder was given. CPU-seconds
are those of the whole process while it encodes; decoding and comparing are not among them. An encoder that does not
work on this machine gets one line with the reason.

    python benchmarks/encoders.py VIDEO... [--frames 60] [--crf 16 20 24 28] [--encoders x264 x265] [--preset veryfast]
"""

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np

from lipsync_core.clock import StageClock
from lipsync_core.errors import LipSyncError
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.encode import EncoderOptions, PictureSpec
from lipsync_core.media.encoder_trial import try_encoder
from lipsync_core.media.encoders import ENCODERS, find_encoder
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import VideoInfo, require_video
from lipsync_core.media.working import working_picture


@dataclass(frozen=True, slots=True)
class Measured:
    """One encoder at one quality, over all videos."""

    kb: float  # kilobytes for each second of video
    psnr_db: float  # the mean of the videos' own
    cpu_ms: float  # for each frame
    wall_ms: float


def measure(video: Path, options: EncoderOptions, frames: int) -> Measured:
    """Encode the first frames of `video`, and compare the decoded result with them."""
    info = require_video(video)
    sources = list(islice(decode_frames(video, StageClock()), frames))
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "out.mp4"
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        _encode(movie, sources, info, options)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        error = _mean_square_error(movie, sources)
        duration_s = float(sources[-1].start_s + sources[-1].duration * sources[-1].time_base)
        kb = movie.stat().st_size / 1000 / duration_s
    return Measured(kb, -10 * math.log10(error) if error else math.inf, 1000 * cpu_s / frames, 1000 * wall_s / frames)


def _encode(movie: Path, sources: Sequence[SourceFrame], info: VideoInfo, options: EncoderOptions) -> None:
    first = sources[0]
    spec = PictureSpec(
        first.picture.width,
        first.picture.height,
        first.picture.format.name,
        first.time_base,
        info.frame_rate,
        info.sample_aspect_ratio,
        0,
        working_picture(info).colour,
    )
    with av.open(str(movie), "w") as container:
        encoder = find_encoder(options.encoder).open(container, spec, options, StageClock())
        for source in sources:
            container.mux(encoder.encode(source.picture, source.pts, source.duration))
        container.mux(encoder.flush())


def _mean_square_error(movie: Path, sources: Sequence[SourceFrame]) -> float:
    """Over all samples, as a share of the square of the largest value."""
    squares, samples = 0.0, 0
    for frame, source in zip(decode_frames(movie, StageClock()), sources, strict=True):
        whole = (1 << source.picture.format.components[0].bits) - 1
        for plane in range(len(source.picture.planes)):
            a, b = plane_samples(frame.picture, plane), plane_samples(source.picture, plane)
            difference = (a.astype(np.float32) - b.astype(np.float32)) / whole
            squares += float(np.sum(difference * difference, dtype=np.float64))
            samples += difference.size
    return squares / samples


def _mean(rows: Sequence[Measured]) -> Measured:
    return Measured(
        kb=float(np.mean([row.kb for row in rows])),
        psnr_db=float(np.mean([row.psnr_db for row in rows])),
        cpu_ms=float(np.mean([row.cpu_ms for row in rows])),
        wall_ms=float(np.mean([row.wall_ms for row in rows])),
    )


def _row(videos: Sequence[Path], options: EncoderOptions, frames: int) -> str:
    try:
        for video in videos:
            picture = working_picture(require_video(video))
            try_encoder(find_encoder(options.encoder), picture, options)
        mean = _mean([measure(video, options, frames) for video in videos])
    except LipSyncError as exc:
        return f"| {options.encoder} | {options.crf} | unmeasured: {exc.message} | | | |"
    cells = f"{mean.kb:.0f} | {mean.psnr_db:.2f} | {mean.cpu_ms:.1f} | {mean.wall_ms:.1f}"
    return f"| {options.encoder} | {options.crf} | {cells} |"


def main() -> None:
    """Print one table over all encoders and qualities, the means over the videos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--crf", type=int, nargs="+", default=[16, 20, 24, 28])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--preset", default="veryfast")
    chosen = parser.parse_args()
    print("| encoder | crf | kB/s | PSNR, dB | CPU ms/frame | wall ms/frame |")
    print("|---|---|---|---|---|---|")
    for name in chosen.encoders:
        for crf in chosen.crf:
            print(_row(chosen.videos, EncoderOptions(name, crf, chosen.preset), chosen.frames), flush=True)


if __name__ == "__main__":
    main()
