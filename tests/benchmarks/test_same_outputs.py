"""The comparison of two versions' outputs: it reports every difference, and no other."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from outputs_digest import digest_movie
from same_outputs import compare, differences

from tests.conftest import Ffmpeg

RESULT = {
    "measured": {"commit": "one"},
    "help": {"lipsync": "Usage: lipsync\nCommands:\n  run"},
    "local": {"wav2lip": {"status": 0, "movie": {"frames": ["0 aa", "1 bb", "2 cc"]}}},
    "memory": {"local wav2lip": 100_000_000},
}


def movie(ffmpeg: Ffmpeg, path: Path, *picture: str) -> Path:
    """Five lossless pictures and their sound."""
    video = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.2")
    sound = ("-f", "lavfi", "-i", "sine=frequency=220:sample_rate=16000:duration=0.2")
    ffmpeg(*video, *sound, *picture, "-c:v", "libx264", "-crf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path


def compared(before: dict, after: dict, folder: Path, *excepted: str) -> int:
    (folder / "before.json").write_text(json.dumps(before))
    (folder / "after.json").write_text(json.dumps(after))
    files = {"before": folder / "before.json", "after": folder / "after.json"}
    return compare(Namespace(**files, excepted=list(excepted), memory=False))


def test_equal_results_have_no_difference(tmp_path: Path) -> None:
    after = {**RESULT, "measured": {"commit": "two"}, "memory": {"local wav2lip": 90_000_000}}
    assert compared(RESULT, after, tmp_path) == 0


def test_each_difference_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = {"wav2lip": {"status": 4, "movie": {"frames": ["0 aa", "1 xx", "2 yy"]}}, "new": {}}
    after = {**RESULT, "help": {"lipsync": "Usage: lipsync\nCommands:\n  runs"}, "local": local}
    assert compared(RESULT, after, tmp_path) == 1
    found = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(found) == {"help/lipsync", "local/wav2lip/status", "local/wav2lip/movie/frames", "local/new"}
    assert "2 of 3" in found["local/wav2lip/movie/frames"]
    assert compared(RESULT, after, tmp_path, "help/*", "local/wav2lip/*", "local/new") == 0


@pytest.mark.parametrize("after", [None, [], ["0 aa"], ["0 aa", "1 bb", "2 cc", "3 dd"], "0 aa"])
def test_frames_that_are_missing_or_more_are_a_difference(after: object) -> None:
    before = {"frames": ["0 aa", "1 bb", "2 cc"]}
    assert [path for path, _ in differences(before, {"frames": after})] == ["frames"]


def test_a_digest_fails_to_match_when_one_picture_has_another_pixel(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    plain = digest_movie(movie(ffmpeg, tmp_path / "plain.mp4"))
    box = ("-vf", "drawbox=x=10:y=10:w=2:h=2:color=red:t=fill:enable='eq(n,3)'")
    other = digest_movie(movie(ffmpeg, tmp_path / "other.mp4", *box))
    pairs = zip(plain.frames, other.frames, strict=True)
    assert [one == another for one, another in pairs] == [True, True, True, False, True]
    assert plain.sound == other.sound
    assert plain.file_sha256 != other.file_sha256


def test_the_same_streams_in_another_file_differ_in_the_file_alone(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    plain = movie(ffmpeg, tmp_path / "plain.mp4")
    ffmpeg("-i", plain, "-c", "copy", "-movflags", "+faststart", tmp_path / "again.mp4")
    one, other = digest_movie(plain), digest_movie(tmp_path / "again.mp4")
    assert one.file_sha256 != other.file_sha256
    assert replace(one, file_sha256="") == replace(other, file_sha256="")
