"""Files that were joined byte by byte are shown on one clock, with picture and sound together in every part."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.joins import Packets, joins_in
from lipsync_core.media.probe import probe
from lipsync_core.media.starts import file_starts
from tests.media.sweep import RATE_HZ, heard, heard_at, sweep

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

FPS = 25
PART_S, PARTS = 0.4, 4
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-c:a", "aac")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-c:a", "mp2", "-b:a", "192k")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As long, of pictures that each have a grey of their own."""
    path = tmp_path_factory.mktemp("base") / "base.mkv"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("ffv1", rate=FPS), container.add_stream("flac", rate=RATE_HZ, layout="mono")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(round(PART_S * PARTS * FPS)):
            grey = np.full((72, 64), 128, np.uint8)
            grey[:48] = grey_of(number)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        samples = (sweep(PART_S * PARTS) * 32767).astype(np.int16)
        for first in range(0, len(samples), 4096):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + 4096], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, first
            container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


def grey_of(number: int) -> int:
    return 30 + 5 * number


def joined(
    ffmpeg: Ffmpeg, base: Path, offsets_s: list[float], codecs: tuple[str, ...], folder: Path, ending: str
) -> Path:
    """The parts of the base, each written at its own offset, one behind the other in one file."""
    path = folder / f"joined.{ending}"
    share_s = PART_S * PARTS / len(offsets_s)
    with path.open("wb") as whole:
        for number, offset_s in enumerate(offsets_s):
            part = folder / f"part{number}.{ending}"
            ffmpeg(
                *("-ss", f"{number * share_s}", "-t", f"{share_s}", "-i", base),
                *codecs, "-output_ts_offset", f"{offset_s}", part,
            )  # fmt: skip
            whole.write(part.read_bytes())
    return path


def shown_at(path: Path, number: int) -> float:
    """When the picture `number` of the base is shown, on the clock of both."""
    lead_s = file_starts(path).picture_s
    frames = decode_frames(path, StageClock())
    greys = [(float(frame.start_s + lead_s), float(frame.picture.to_ndarray()[:48].mean())) for frame in frames]
    return min(greys, key=lambda each: abs(each[1] - grey_of(number)))[0]


KINDS = {
    "each from 0": ([0.0, 0.0, 0.0, 0.0], H264, "ts"),
    "each from 0, MPEG-2": ([0.0, 0.0, 0.0, 0.0], MPEG2, "ts"),
    "a disc": ([0.0, 0.0, 0.0, 0.0], MPEG2, "vob"),
    "each at its time": ([0.0, 0.4, 0.8, 1.2], H264, "ts"),
    "back by .4 s": ([0.0, 0.4], MPEG2, "ts"),
    "back by 99 s": ([100.0, 0.0], H264, "ts"),
    "on by 500 s": ([0.0, 500.0], H264, "ts"),
    "AC-3": ([0.0, 0.0], (*H264[:-1], "ac3"), "ts"),
    "E-AC-3": ([0.0, 0.0, 0.0, 0.0], (*H264[:-1], "eac3"), "ts"),
    "HEVC and MP2": ([0.0, 0.0], ("-c:v", "libx265", "-x265-params", "log-level=none", *MPEG2[-4:]), "ts"),
    "program streams": ([0.0, 0.0], MPEG2, "mpg"),
    "program streams, AC-3": ([0.0, 0.0], (*MPEG2[:-4], "-c:a", "ac3"), "mpg"),
}


@pytest.mark.parametrize(("offsets_s", "codecs", "ending"), KINDS.values(), ids=KINDS)
def test_picture_and_sound_stay_together_in_every_part(
    offsets_s: list[float], codecs: tuple[str, ...], ending: str, base: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    path = joined(ffmpeg, base, offsets_s, codecs, tmp_path, ending)
    assert probe(path).video
    frames = list(decode_frames(path, StageClock()))
    assert len(frames) == PART_S * PARTS * FPS
    steps = np.diff([float(frame.start_s) for frame in frames])
    assert steps.min() > 0.03 and steps.max() < 0.13  # a part's sound is some blocks longer than its pictures
    sound = heard(path)
    middles = [part * PART_S + 0.16 for part in range(PARTS)]
    late_s = [heard_at(sound, middle_s) - shown_at(path, round(middle_s * FPS)) for middle_s in middles]
    assert np.abs(np.array(late_s) - late_s[0]).max() <= 0.005


def test_a_duration_of_several_clocks_is_not_known(base: Path, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    for offsets_s, is_known in (([0.0, 500.0], False), ([0.0], True)):
        video = probe(joined(ffmpeg, base, offsets_s, H264, tmp_path, "ts")).video
        assert video is not None
        assert (video.duration_s is not None) == is_known


def packets(*rows: tuple[int, int, int]) -> Packets:
    """Of streams, times and lengths, a byte each."""
    made = Packets()
    for position, (stream, time, length) in enumerate(rows):
        made.positions.append(position)
        made.streams.append(stream)
        made.times.append(time)
        made.ends.append(time + length)
    return made


def test_a_part_begins_with_the_first_of_its_packets_whichever_stream_shows_the_jump() -> None:
    first = [(0, 0, 3600), (1, 0, 2000), (0, 3600, 3600), (1, 2000, 2000), (0, 7200, 3600), (1, 4000, 8000)]
    second = [(1, 5000, 2000), (0, 0, 3600), (1, 7000, 2000), (0, 3600, 3600)]  # sound falls by little, and earlier
    (join,) = joins_in(packets(*first, *second))
    assert join.position == 6
    assert join.shift_s == Fraction(10_800, 90_000)


def test_what_goes_on_without_a_jump_has_no_join() -> None:
    rows = [(stream, time + 3600 * stream, 3600) for time in range(0, 900_000, 3600) for stream in (0, 1)]
    held = [(0, 900_000 + 5 * 90_000, 3600), (1, 903_600 + 5 * 90_000, 3600)]  # a picture is held for five seconds
    assert joins_in(packets(*rows, *held)) == []
