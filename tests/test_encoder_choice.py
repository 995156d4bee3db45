"""The encoder of a job: chosen by a trial before the work, named in the report, and given up where it fails."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.encoder_choice import EncoderChoice, choose_encoder
from lipsync_core.errors import OptionError, OutputError
from lipsync_core.media.encode import Encoder, EncoderOptions
from lipsync_core.media.encoder_trial import try_encoder
from lipsync_core.media.encoders import ENCODERS, find_encoder
from lipsync_core.media.probe import ColourTags
from lipsync_core.media.working import WorkingPicture
from tests.encoder_stand_ins import (
    NVENC,
    BlackNvenc,
    OnceNvenc,
    RefusingNvenc,
    WorkingNvenc,
    reason_against_nvenc,
    register,
)

PICTURE = WorkingPicture(320, 180, "yuv420p", ColourTags(1, 1, 1, 1))
SHORT = JobOptions(model="viseme", end_s=Fraction(2, 5), preset="ultrafast")


AGAINST_NVENC = reason_against_nvenc()
without_card = pytest.mark.skipif(AGAINST_NVENC is None, reason="this machine has NVENC")


def video_codec(movie: Path) -> str:
    with av.open(str(movie)) as container:
        return container.streams.video[0].codec_context.name


@without_card
def test_auto_takes_x264_without_a_card_and_says_why_each_time() -> None:
    choices = [choose_encoder(JobOptions(), PICTURE) for _ in range(3)]  # FFmpeg logs a repeated line once
    assert choices == [EncoderChoice("auto", "h264", "x264", f"h264_nvenc cannot be used here: {AGAINST_NVENC}")] * 3
    assert AGAINST_NVENC and "cannot encode" not in AGAINST_NVENC  # the driver's reason, not only that it fails


@without_card
def test_auto_takes_x265_for_hevc_without_a_card() -> None:
    choice = choose_encoder(JobOptions(codec="hevc"), PICTURE)
    assert (choice.chosen, choice.reason.split(":")[0]) == ("x265", "hevc_nvenc cannot be used here")


def test_auto_takes_nvenc_where_it_encodes_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, WorkingNvenc)
    choice = choose_encoder(JobOptions(), PICTURE)
    assert choice == EncoderChoice("auto", "h264", NVENC, "it encoded a trial picture correctly")


@pytest.mark.parametrize(
    ("stand_in", "reason"), [(RefusingNvenc, "no-such-preset"), (BlackNvenc, "the stream does not hold it")]
)
def test_auto_passes_nvenc_over_where_its_trial_fails(
    monkeypatch: pytest.MonkeyPatch, stand_in: type[Encoder], reason: str
) -> None:
    register(monkeypatch, stand_in)
    choice = choose_encoder(JobOptions(), PICTURE)
    assert choice.chosen == "x264"
    assert choice.reason.startswith("h264_nvenc cannot be used here: ") and reason in choice.reason


def test_auto_passes_nvenc_over_for_pictures_that_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose_encoder(JobOptions(), replace(PICTURE, pix_fmt="yuv422p10le"))
    assert choice.chosen == "x264"
    assert "yuv422p10le" in choice.reason


@pytest.mark.parametrize(("encoder", "codec"), [("x264", "h264"), ("x265", "hevc")])
def test_an_encoder_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, encoder: str, codec: str) -> None:
    register(monkeypatch, WorkingNvenc)
    choice = choose_encoder(JobOptions(encoder=encoder, codec=codec), PICTURE)  # type: ignore[arg-type]
    assert (choice.chosen, choice.reason, choice.fallback) == (encoder, "asked for", None)


@pytest.mark.parametrize("name", ["x264", "x265"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("crf", [0, 20, 51])
def test_the_trial_passes_an_encoder_that_works(name: str, pix_fmt: str, crf: int) -> None:
    try_encoder(find_encoder(name), replace(PICTURE, pix_fmt=pix_fmt), EncoderOptions(name, crf))
    with pytest.raises(OutputError):
        try_encoder(find_encoder(name), replace(PICTURE, width_px=321, pix_fmt="yuv420p"), EncoderOptions(name, crf))


def test_an_encoder_that_this_pyav_was_built_without_is_an_error_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ENCODERS["x265"], "library", "libx265-absent")
    with pytest.raises(OptionError, match="this build of PyAV has no libx265-absent"):
        choose_encoder(JobOptions(encoder="x265", codec="hevc"), PICTURE)


def test_the_report_names_the_encoder_that_auto_took(
    monkeypatch: pytest.MonkeyPatch, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    register(monkeypatch, WorkingNvenc)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", SHORT, workspace)
    assert (report.encoder, report.encoding.requested) == (NVENC, "auto")
    assert report.frames.total == 10


def test_a_job_goes_on_with_x264_where_nvenc_does_not_start_after_its_trial(
    monkeypatch: pytest.MonkeyPatch, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    register(monkeypatch, OnceNvenc)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", SHORT, workspace)
    assert OnceNvenc.opened == 2
    assert (report.encoder, report.encoding.reason.split(":")[0]) == ("x264", "h264_nvenc did not start after all")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 10
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.mp4"]


def test_a_job_fails_where_the_encoder_that_was_asked_for_does_not_start_after_its_trial(
    monkeypatch: pytest.MonkeyPatch, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    register(monkeypatch, OnceNvenc)
    with pytest.raises(OutputError, match="h264_nvenc cannot encode"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(SHORT, encoder="nvenc"), workspace)
    assert not list(tmp_path.glob("*out*"))


@without_card
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_run_fails_in_one_line_when_nvenc_is_asked_for_and_absent(
    face_clip: Path, speech_wav: Path, tmp_path: Path, codec: str
) -> None:
    options = ["-o", "out.mp4", "--home", "home", "--encoder", "nvenc", "--codec", codec]
    command = [Path(sys.executable).with_name("lipsync"), "run", face_clip, speech_wav, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"BAD_OPTION: encoder nvenc cannot make {codec} here: " in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())  # not even a model was looked for


def test_run_makes_hevc_and_says_so(face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path) -> None:
    options = ["-o", "out.mov", "--home", workspace.models.parent, "--end", "0.4", "--codec", "hevc", "--json", "-q"]
    command = [Path(sys.executable).with_name("lipsync"), "run", face_clip, speech_wav, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["encoding"]["codec"] == video_codec(tmp_path / "out.mov") == "hevc"
    assert report["encoder"] == report["encoding"]["chosen"] != "x264"
    assert not done.stderr  # x265's own log
