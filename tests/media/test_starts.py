"""The clock of a file: when its picture and its sound begin, and that a dubbed result keeps their distance."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.media.starts import FileStarts, file_starts
from tests.conftest import Ffmpeg
from tests.jobs import luma_frames, reopened
from tests.media.shown import HEARD_HZ, shown
from tests.media.untouched import write_untouched
from tests.sounds import click_time_s
from tests.thorough import first_rows

FLASH = 10  # the number of the frame in which a corner turns white, as its click sounds
RATE = 25


@pytest.fixture
def flashing(face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    """A face, whose picture has a white corner from one frame on."""
    path = tmp_path / "flashing.mp4"
    box = f"drawbox=w=32:h=32:color=white:t=fill:enable='gte(n,{FLASH})'"
    ffmpeg("-i", face_clip, "-frames:v", "30", "-vf", box, "-an", "-crf", "10", path)
    return path


def joined(ffmpeg: Ffmpeg, flashing: Path, path: Path, picture_s: float, sound_s: float, codec: str) -> Path:
    """Both in one file, each after its own delay; the click sounds as the flash is seen."""
    click_s = picture_s + FLASH / RATE - sound_s
    sound = f"aevalsrc=if(between(t\\,{click_s}\\,{click_s + 0.0005})\\,0.9\\,0.01*sin(2500*t)):s=48000:d=1.5"
    offsets = ("-itsoffset", str(picture_s), "-i", flashing, "-itsoffset", str(sound_s), "-f", "lavfi", "-i", sound)
    # AVI has no times, so what it holds of B-frames is each reader's guess.
    picture = ("libx264", "-preset", "ultrafast", "-crf", "10") if path.suffix == ".avi" else ("copy",)
    ffmpeg(*offsets, "-map", "0:v", "-map", "1:a", "-c:v", *picture, "-c:a", codec, "-b:a", "256k", path)
    return path


def flash_time_s(path: Path) -> float:
    """When the corner turns white."""
    corners = [float(frame[8:24, 8:24].mean()) for frame in luma_frames(path)]
    return float(reopened(path).times_s[int(np.flatnonzero(np.array(corners) > 200)[0])])


@pytest.mark.parametrize(
    ("name", "codec", "picture_s", "sound_s"),
    first_rows(
        [
            ("late.mkv", "pcm_s16le", 0.852, 0.008),
            ("late.mp4", "aac", 0.852, 0.0),
            ("late.ts", "aac", 0.6, 0.0),
            ("early.mkv", "flac", 0.0, 0.4),
            ("early.mp4", "aac", 0.0, 0.3),
            ("even.mp4", "aac", 0.0, 0.0),
            ("even.avi", "pcm_s16le", 0.0, 0.0),
        ],
        4,
    ),
)
def test_picture_and_sound_of_one_file_keep_their_distance(
    name: str,
    codec: str,
    picture_s: float,
    sound_s: float,
    flashing: Path,
    workspace: Workspace,
    tmp_path: Path,
    ffmpeg: Ffmpeg,
) -> None:
    both = joined(ffmpeg, flashing, tmp_path / name, picture_s, sound_s, codec)
    output = tmp_path / "out.mp4"
    lip_sync(both, both, output, workspace=workspace)
    assert flash_time_s(output) == pytest.approx(click_time_s(output), abs=0.005)
    times_s = reopened(output).times_s
    assert float(times_s[0]) == 0
    assert max(b - a for a, b in pairwise(times_s)) <= 0.051  # the mouth moves in the picture that is held, too


def test_a_sound_that_was_cut_from_the_file_fits_back(
    flashing: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    both = joined(ffmpeg, flashing, tmp_path / "both.mkv", 0.852, 0.008, "pcm_s16le")
    for name in ("cut.wav", "cut.m4a"):
        ffmpeg("-i", both, "-vn", tmp_path / name)
        output = tmp_path / f"{name}.mp4"
        lip_sync(both, tmp_path / name, output, workspace=workspace)
        assert flash_time_s(output) == pytest.approx(click_time_s(output), abs=0.005)


def test_a_sound_cut_with_its_delay_fits_back(
    flashing: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    both = joined(ffmpeg, flashing, tmp_path / "both.mp4", 0.0, 0.3, "aac")
    for name in ("cut.m4a", "cut.mka"):
        ffmpeg("-i", both, "-vn", "-c", "copy", tmp_path / name)
        output = tmp_path / f"{name}.mp4"
        lip_sync(both, tmp_path / name, output, workspace=workspace)
        assert flash_time_s(output) == pytest.approx(click_time_s(output), abs=0.005)


def test_a_file_with_pictures_or_sound_alone_begins_with_it(face_clip: Path, speech_wav: Path) -> None:
    assert file_starts(face_clip) == file_starts(speech_wav) == FileStarts()


def test_the_time_before_a_late_sound_is_silent(flashing: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    both = joined(ffmpeg, flashing, tmp_path / "both.mkv", 0.0, 0.4, "pcm_s16le")
    assert file_starts(both).sound_s == Fraction(4, 10)
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in decode_sound(AudioCut(both))])
    assert not samples[: round(0.4 * 48000)].any()
    assert samples[round(0.4 * 48000) :][:4800].any()


def test_joined_transport_streams_last_as_long_as_their_parts(
    flashing: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    parts = []
    for number, offset_s in enumerate((0, 500)):
        part = tmp_path / f"{number}.ts"
        speech = ("-t", "1.2", "-i", speech_wav)
        ffmpeg("-i", flashing, *speech, "-c:v", "copy", "-c:a", "aac", "-output_ts_offset", str(offset_s), part)
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    report = lip_sync(path, path, tmp_path / "out.mp4", workspace=workspace)
    assert report.duration_s == pytest.approx(2.4, abs=0.2)  # AAC pads each part
    assert report.frames.total <= 70


@pytest.mark.parametrize(("rate", "length_s"), [("1", 3), ("7", 2)])
def test_the_mouth_moves_in_a_slide_show(
    rate: str, length_s: int, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    slides = tmp_path / "slides.mp4"
    ffmpeg("-i", face_clip, "-r", rate, "-t", str(length_s), "-an", slides)
    output = tmp_path / "out.mp4"
    lip_sync(slides, speech_wav, output, JobOptions(end_s=Fraction(length_s)), workspace)
    times_s = reopened(output).times_s
    assert max(b - a for a, b in pairwise(times_s)) <= 0.0501
    frames = np.stack(luma_frames(output)).astype(np.float32)
    moved = np.abs(np.diff(frames, axis=0)).max((1, 2)) > 25
    assert moved.mean() > 0.3


def test_a_rate_that_is_asked_for_is_kept(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    rate = Fraction(30000, 1001)
    report = lip_sync(face_clip, speech_wav, output, JobOptions(fps=rate, end_s=Fraction(1)), workspace)
    times_s = reopened(output).times_s
    assert report.frames.total == len(times_s) == 30
    np.testing.assert_allclose(np.diff([float(time) for time in times_s]), float(1 / rate), atol=1e-4)


def test_a_sound_that_begins_after_more_than_a_minute_has_no_lead(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "late.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=2:duration=75")
    sound = ("-itsoffset", "70", "-f", "lavfi", "-i", "sine=duration=1")
    ffmpeg(*picture, *sound, "-c:a", "pcm_s16le", path)
    assert file_starts(path) == FileStarts()


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_fragmented_movie_without_edit_lists_keeps_its_distance(
    rate: int, b_frames: int, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    """With B-frames its sound begins with a packet of priming, and goes on two pictures later."""
    source, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    click = "aevalsrc='if(between(t,1,1.0005),0.9,0.01*sin(2500*t))':s=48000:d=2"
    flash = "drawbox=w=64:h=48:color=white:t=fill:enable='gte(t,1)'"
    inputs = ("-f", "lavfi", "-i", f"color=black:s=64x48:r={rate}:d=2", "-f", "lavfi", "-i", click)
    encoding = ("-c:v", "libx264", "-bf", str(b_frames), "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")
    ffmpeg(*inputs, "-vf", flash, *encoding, source)
    write_untouched(source, source, output)
    played = shown(output, folder=tmp_path)
    flash_s = played.times_s[int(np.argmax(played.pictures.mean((1, 2, 3)) > 100))]
    click_s = played.sound_s + int(np.argmax(np.abs(played.sound[:, 0]))) / HEARD_HZ
    assert abs(click_s - flash_s) < 0.005
