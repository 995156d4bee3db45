"""`lipsync check` says what would spoil a job, and a strict job stops at it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipsync_core.preflight.codes import MEANINGS
from tests.cli.conftest import RunLipSync


def test_check_of_good_inputs_warns_of_nothing(lipsync_here: RunLipSync, face_clip: Path, speech_wav: Path) -> None:
    done = lipsync_here("check", face_clip, speech_wav, "--end", "2", "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert "synced   number 0 from the left, the largest," in done.stdout
    assert "usable   5 of 5 frames (100 %)\n" in done.stdout
    assert "speech in 8" in done.stdout
    assert done.stdout.endswith("no warnings\n")


def test_check_writes_json_and_a_sheet(lipsync_here: RunLipSync, face_clip: Path, tmp_path: Path) -> None:
    done = lipsync_here("check", face_clip, "--json", "--sheet", tmp_path / "sheet.png", "--face", "1")
    assert done.returncode == 0
    fields = json.loads(done.stdout)
    assert fields["schema"] == "lipsync.preflight/1"
    [warning] = fields["warnings"]
    assert warning == {
        "code": "NO_FACE_FOUND",
        "is_note": False,
        "detail": "no face with the number 1 in 5 frames, 1 face at most",
        "meaning": warning["meaning"],
        "remedy": warning["remedy"],
    }
    assert fields["video"]["frames"]["missing"] == fields["video"]["samples"] == 5
    assert fields["audio"] is None
    sheet = np.asarray(Image.open(fields["sheet"]))
    assert (sheet == (255, 176, 32)).all(axis=2).any()  # the face that is not synced


def test_each_warning_is_one_line_with_its_remedy(lipsync_here: RunLipSync, movie: Path, speech: Path) -> None:
    done = lipsync_here("check", movie, speech, "--strict")
    lines = [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("warning ")]
    assert lines == ["NO_FACE_FOUND", "AUDIO_SILENT"]
    assert all(MEANINGS[code].remedy in done.stdout for code in lines)
    assert done.returncode == 12
    assert done.stderr.startswith("lipsync: error PREFLIGHT_WARNING: the preflight warns: NO_FACE_FOUND (")


def test_check_fails_where_an_input_cannot_be_read_as_run_does(
    lipsync_here: RunLipSync, movie: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for arguments in ((tmp_path / "none.mp4",), (tmp_path / "text.mp4",), (movie, movie)):
        checked = lipsync_here("check", *arguments)
        ran = lipsync_here("run", arguments[0], arguments[-1], "-o", "out.mp4")
        assert checked.returncode == ran.returncode == 3
        assert checked.stderr == ran.stderr


def test_a_sheet_is_written_whole_or_not_at_all(lipsync_here: RunLipSync, movie: Path) -> None:
    done = lipsync_here("check", movie, "--sheet", "none/sheet.png")
    assert done.returncode == 5
    assert "none/sheet.png cannot be written" in done.stderr


@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["as it is", "strict"])
def test_a_strict_run_stops_before_the_work(
    options: tuple[str, ...], lipsync_here: RunLipSync, face_clip: Path, speech: Path, tmp_path: Path
) -> None:
    done = lipsync_here("run", face_clip, speech, "-o", tmp_path / "out.mp4", "--quiet", *options)
    assert done.returncode == (12 if options else 0)
    assert (tmp_path / "out.mp4").exists() == (not options)
    assert ("PREFLIGHT_WARNING" in done.stderr and "AUDIO_SILENT" in done.stderr) == bool(options)
