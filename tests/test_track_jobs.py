"""A face track by several processes is that of one pass, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lipsync_core.models.store import ModelStore
from tests.conftest import Ffmpeg
from tests.shared_files import CLIPS, shared_file
from tests.test_architecture import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")
PATIENCE_S = 120.0


def tracked_twice(video: Path, jobs: int, folder: Path, until_s: str = "") -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.track_twice", video, str(jobs), folder / "twice", until_s]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["differ"] == []
    for name in ("frames", "complete", "last", "analysed"):
        assert told[name][0] == told[name][1], name
    return told


@pytest.fixture
def film(face_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path) -> Path:
    """Twelve seconds, 320x180 at 12.5 frames/s: the face, a second of grey, and the face again, the other way round."""
    shots = (
        "[0]split[a][b];[b]hflip,reverse[c];color=gray:640x360:d=2:r=25[g];[a][g][c]concat=n=3,fps=25/2,scale=320:-2"
    )
    path = tmp_path / "film.mp4"
    ffmpeg("-i", face_clip, "-filter_complex", shots, "-g", "30", "-bf", "2", "-crf", "18", path)
    return path


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_make_the_track_of_one_pass(film: Path, jobs: int, tmp_path: Path, model_store: ModelStore) -> None:
    told = tracked_twice(film, jobs, tmp_path)
    assert told["frames"][1] == 150
    assert told["processes"] == [1, jobs]
    assert told["here"] == [True, False]
    assert told["tracked"][0] == told["tracked"][1] == 150


def test_a_real_film_of_several_shots(tmp_path: Path, model_store: ModelStore) -> None:
    told = tracked_twice(shared_file(CLIPS / "facerec_short_hamilton_clip.mp4"), 2, tmp_path)
    assert told["processes"] == [1, 2]


def test_a_part_of_a_video_is_as_long_as_in_one_pass(film: Path, tmp_path: Path, model_store: ModelStore) -> None:
    """Tracks cover multiples of 30 s: the video is slowed down to four times its length."""
    slow = tmp_path / "slow.mkv"
    subprocess.run(
        [sys.executable, "-c", _SLOWED, str(film), str(slow)], check=True, cwd=ROOT, capture_output=True, timeout=60
    )
    told = tracked_twice(slow, 2, tmp_path, until_s="20")
    assert told["complete"] == [False, False]
    assert told["processes"] == [1, 2]


_SLOWED = """
import sys, av
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w") as output:
    stream = output.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(video=0):
        if packet.dts is not None:
            packet.pts, packet.dts, packet.duration = 4 * packet.pts, 4 * packet.dts, 4 * packet.duration
            packet.stream = stream
            output.mux(packet)
"""


def test_a_video_whose_packets_tell_other_frames_is_tracked_in_one_pass(
    film: Path, ffmpeg: Ffmpeg, tmp_path: Path, model_store: ModelStore
) -> None:
    path = tmp_path / "damaged.mkv"
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "noise=amount='eq(n,100)*1':drop=0", path)
    told = tracked_twice(path, 2, tmp_path)
    assert told["here"] == [True, True]


def test_a_short_video_is_tracked_in_one_pass(
    face_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path, model_store: ModelStore
) -> None:
    path = tmp_path / "short.mp4"
    ffmpeg("-t", "3", "-i", face_clip, "-c", "copy", path)
    assert tracked_twice(path, 4, tmp_path)["here"] == [True, True]
