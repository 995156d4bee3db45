"""`lipsync run` from end to end: the real command, real media, and the files left on the disk."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from tests.cli.conftest import LIPSYNC, SPEECH, RunLipSync, write_movie, write_wave
from tests.conftest import Ffmpeg
from tests.jobs import luma_frames
from tests.processes import is_there, readers_of
from tests.text_tables import words
from tests.waiting import wait_until


def write_truncated_movie(path: Path) -> None:
    """The index at the beginning, and only half of the data that it lists."""
    whole = path.with_suffix(".whole")
    with av.open(str(whole), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for shade in range(25):
            picture = av.VideoFrame(320, 240, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes((shade * position) % 251 for position in range(plane.buffer_size)))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    whole.unlink()


def write_movie_without_frames(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


BAD_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "FILE_NOT_FOUND"),
    "directory": (Path.mkdir, "NOT_A_FILE"),
    "text": (lambda path: path.write_text("This is a letter, not a film.\n" * 50), "MEDIA_UNREADABLE"),
    "zero bytes": (Path.touch, "MEDIA_UNREADABLE"),
    "truncated": (write_truncated_movie, "MEDIA_TRUNCATED"),
    "sound only": (write_wave, "NO_VIDEO"),
    "without frames": (write_movie_without_frames, "NO_VIDEO"),
}
BAD_AUDIOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "FILE_NOT_FOUND"),
    "directory": (Path.mkdir, "NOT_A_FILE"),
    "text": (lambda path: path.write_text("This is a letter, not a song.\n" * 50), "MEDIA_UNREADABLE"),
    "zero bytes": (Path.touch, "MEDIA_UNREADABLE"),
    "picture only": (write_movie, "NO_AUDIO"),
    "without samples": (lambda path: write_wave(path, 0), "NO_AUDIO"),
}


def assert_refused(done: subprocess.CompletedProcess[str], code: str, status: int, folder: Path) -> None:
    """The command writes one line with the code, ends with its exit status and leaves no file beside the inputs."""
    assert done.stdout == ""
    assert done.stderr.startswith(f"lipsync: error {code}: "), done.stderr
    assert done.stderr.count("\n") == 1
    assert "; " in done.stderr, "the line does not say what to do"
    assert done.returncode == status
    assert {path.name for path in folder.iterdir()} <= {"bad.mp4", "grey.mp4", "silence.wav"}


@pytest.mark.parametrize("kind", BAD_VIDEOS)
def test_run_fails_when_the_video_is_bad(kind: str, speech: Path, tmp_path: Path, lipsync: RunLipSync) -> None:
    make, code = BAD_VIDEOS[kind]
    make(tmp_path / "bad.mp4")
    done = lipsync("run", "bad.mp4", speech.name, "-o", "out.mp4")
    assert_refused(done, code, 3, tmp_path)
    assert "bad.mp4" in done.stderr


@pytest.mark.parametrize("kind", BAD_AUDIOS)
def test_run_fails_when_the_audio_is_bad(kind: str, movie: Path, tmp_path: Path, lipsync: RunLipSync) -> None:
    make, code = BAD_AUDIOS[kind]
    make(tmp_path / "bad.mp4")
    done = lipsync("run", movie.name, "bad.mp4", "-o", "out.mp4")
    assert_refused(done, code, 3, tmp_path)
    assert "bad.mp4" in done.stderr


@pytest.mark.parametrize("address", ["https://example.com/face.mp4", "s3://bucket/face.mp4"])
def test_run_fails_when_an_input_is_an_address(
    address: str, movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    # The message named a file https:/example.com/face.mp4.
    for inputs in ((address, speech.name), (movie.name, address)):
        done = lipsync("run", *inputs, "-o", "out.mp4")
        assert_refused(done, "FILE_NOT_FOUND", 3, tmp_path)
        assert f"{address} is an address" in done.stderr
        assert "`lipsync submit` takes addresses" in done.stderr


def test_run_fails_when_the_output_is_an_address(
    movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    """It was called an input that does not exist."""
    done = lipsync("run", movie.name, speech.name, "-o", "s3://bucket/out.mp4")
    assert_refused(done, "OUTPUT_UNWRITABLE", 5, tmp_path)
    assert "s3://bucket/out.mp4 is an address, and no file of this machine; `lipsync submit` takes" in done.stderr


def test_run_fails_when_there_is_no_such_track(movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync) -> None:
    for option in ("--video-track", "--audio-track"):
        done = lipsync("run", movie.name, speech.name, "-o", "out.mp4", option, "3")
        assert_refused(done, "BAD_OPTION", 2, tmp_path)
        assert "it has 0 (no language)" in done.stderr


@pytest.mark.parametrize("output", ["nowhere/out.mp4", "silence.wav/out.mp4", ".", "out.xyz", "grey.mp4"])
def test_run_fails_when_the_output_cannot_be_written(
    output: str, movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    content = movie.read_bytes()
    done = lipsync("run", movie.name, speech.name, "-o", output)
    assert_refused(done, "OUTPUT_UNWRITABLE", 5, tmp_path)
    assert movie.read_bytes() == content


def test_run_fails_before_any_work_when_the_output_cannot_hold_a_copy_of_the_sound(
    movie: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, lipsync: RunLipSync, ffmpeg: Ffmpeg
) -> None:
    """No model is installed, which it would say next."""
    flac = tmp_path_factory.mktemp("sound") / "speech.flac"
    ffmpeg("-i", SPEECH, flac)
    empty = tmp_path.parent / "empty home"
    options = ("--audio-codec", "copy", "--home", empty)
    done = lipsync("run", movie.name, flac, "-o", "out.mov", *options)
    assert_refused(done, "BAD_OPTION", 2, tmp_path)
    assert "mov does not take flac" in done.stderr
    assert done.stderr.count("\n") == 1
    done = lipsync("run", movie.name, flac, "-o", "out.mp4", *options)
    assert_refused(done, "MODEL_MISSING", 6, tmp_path)


def test_run_fails_when_the_disk_is_full(face_clip: Path, home: Path, tmp_path: Path) -> None:
    # A limit on the size of files stands in for a full disk: both end a write half-way.
    command = ["bash", "-c", 'ulimit -f 600; exec "$@"', "bash", LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4"]
    options = ["--crf", "0", "--end", "2", "--quiet", "--home", home]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_refused(done, "DISK_FULL", 5, tmp_path)


def test_run_fails_when_no_frame_has_a_face(
    movie: Path, speech: Path, home: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    done = lipsync("run", movie.name, speech.name, "-o", "out.mp4", "--quiet", "--home", home)
    assert_refused(done, "NO_FACE", 4, tmp_path)


def test_run_fails_when_the_model_is_missing(movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync) -> None:
    empty = tmp_path.parent / "empty home"
    done = lipsync("run", movie.name, speech.name, "-o", "out.mp4", "--home", empty)
    assert_refused(done, "MODEL_MISSING", 6, tmp_path)
    assert "lipsync models pull mediapipe-face" in done.stderr


@pytest.mark.parametrize("name", ["wav2lop", ""])
def test_run_fails_when_no_generator_has_that_name(
    name: str, movie: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    done = lipsync("run", movie.name, speech.name, "-o", "out.mp4", "--model", name)
    assert_refused(done, "BAD_OPTION", 2, tmp_path)
    assert "viseme" in done.stderr


def test_run_takes_any_name_and_writes_the_report_as_json(
    face_clip: Path, home: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    video, audio, output = '-it\'s a "face"...mp4', "Zoë: 日本 %03d.wav", "-out put.mp4"
    shutil.copy(face_clip, tmp_path / video)
    shutil.copy(SPEECH, tmp_path / audio)
    done = lipsync("run", "--json", "--end", "0:00.5", f"--output={output}", "--home", home, "--", video, audio)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["output"]["path"] == output
    assert report["frames"]["synced"] == report["frames"]["total"] == 15
    assert {line.split(":")[0] for line in done.stderr.splitlines()} <= {"track", "render"}
    assert {path.name for path in tmp_path.iterdir()} == {video, audio, output}
    with av.open(str(tmp_path / output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 15


def test_run_replaces_an_older_output_and_reports(
    face_clip: Path, home: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    (tmp_path / "out.mp4").write_text("an older result")
    done = lipsync("run", face_clip, SPEECH, "-o", "out.mp4", "--start", "1", "--end", "1.2", "--home", home)
    assert done.returncode == 0, done.stderr
    assert "frames 6 of 6 synced (100.0 %)" in words(done.stdout)
    assert "output out.mp4" in words(done.stdout)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")
def test_processes_side_by_side_make_the_same_movie(
    face_clip: Path, home: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    reports = {}
    for jobs in ("1", "3"):
        options = ["--end", "6.1", "--crf", "12", "--jobs", jobs, "--json", "--home", home]
        done = lipsync("run", face_clip, SPEECH, "-o", f"{jobs}.mp4", *options)
        assert done.returncode == 0, done.stderr
        reports[jobs] = json.loads(done.stdout)
    assert {jobs: report["jobs"] for jobs, report in reports.items()} == {"1": 1, "3": 3}
    assert reports["1"]["frames"] == reports["3"]["frames"]
    assert reports["1"]["score"] == reports["3"]["score"]
    assert reports["1"]["score"]["frames"] > 40
    items = [{row["stage"]: row["items"] for row in report["stages"] if row["items"]} for report in reports.values()]
    assert {stage: items[0][stage] for stage in ("paint", "blend", "encode")} == {
        stage: items[1][stage] for stage in ("paint", "blend", "encode")
    }
    for report in reports.values():  # the rows add up
        assert sum(row["wall_s"] for row in report["stages"]) == pytest.approx(report["wall_s"], rel=0.02)
        assert sum(row["cpu_s"] for row in report["stages"]) == pytest.approx(report["cpu_s"], rel=0.02)
    pairs = zip(luma_frames(tmp_path / "1.mp4"), luma_frames(tmp_path / "3.mp4"), strict=True)
    assert max(float(np.abs(one.astype(int) - other).mean()) for one, other in pairs) < 2  # of 255


@pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")
def test_processes_work_side_by_side_though_a_terminal_shows_a_bar(face_clip: Path, home: Path, tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    options = ["--end", "6.1", "--jobs", "3", "--json", "--home", home]
    command = [LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4", *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=its_end) as child:
        os.close(its_end)
        shown = b""
        with suppress(OSError):  # EIO: the terminal has no other end any more
            while block := os.read(terminal, 4096):
                shown += block
        stdout, _ = child.communicate(timeout=60)
    os.close(terminal)
    assert child.returncode == 0
    assert json.loads(stdout)["jobs"] == 3
    assert b"render" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")
@pytest.mark.parametrize(
    ("limit", "code"),
    [("LIPSYNC_MAX_JOB_CPU_S=3", "LIMIT_CPU"), ("LIPSYNC_MAX_JOB_MEMORY_BYTES=100MiB", "LIMIT_MEMORY")],
)
def test_limits_hold_for_all_processes_of_a_job(
    limit: str, code: str, face_clip: Path, home: Path, tmp_path: Path
) -> None:
    command = [LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4", "--preset", "slow", "--jobs", "3", "--home", home]
    environment = {**os.environ, **dict([limit.split("=")])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert f"error {code}" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("stage", "jobs"), [("track", "1"), ("render", "1"), ("render", "2")])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind(
    jobs: str, stage: str, signum: signal.Signals, status: int, face_clip: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.mp4").write_text("an older result")
    command = [LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4", "--home", home, "--jobs", jobs]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert any(line.startswith(stage) for line in iter(child.stderr.readline, ""))
        child.send_signal(signum)
        stdout, rest = child.communicate(timeout=30)
    assert child.returncode == status, rest
    assert stdout == ""
    lines = [line for line in rest.splitlines() if not line.startswith(("track", "render"))]
    assert lines == [f"lipsync: error INTERRUPTED: stopped by {signum.name}; nothing was written"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "an older result"
    left = [path for path in (home / "cache").rglob("*") if path.is_file() and path.suffix != ".npz"]
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="readers need Linux")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_is_stopped_though_its_readers_do_not_answer(
    signum: signal.Signals, face_clip: Path, home: Path, tmp_path: Path
) -> None:
    command = [LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4", "--home", home, "--isolate"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert any(line.startswith("track") for line in iter(child.stderr.readline, ""))
        readers = readers_of(child.pid)
        assert readers
        for process in readers:
            os.kill(process, signal.SIGSTOP)
        child.send_signal(signum)
        child.communicate(timeout=60)
    assert child.returncode == 128 + signum
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: not any(is_there(process) for process in readers))
