"""The command's behaviour towards a user: help, unknown options, start-up, broken pipes."""

import subprocess
import sys
from pathlib import Path

import pytest

from lipsync_cli.exit_statuses import exit_table
from lipsync_cli.main import main
from lipsync_core.models.store import ModelStore
from tests.cli.conftest import LIPSYNC, RunLipSync

HEAVY = (
    *("numpy", "cv2", "av", "ai_edge_litert", "rich"),
    *("boto3", "httpx", "prefect", "pydantic", "sqlalchemy"),  # of the extra `service`
)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lipsync_cli.main import main; "
        "assert main(['run', '--help']) == 0; "
        f"assert not set({HEAVY!r}) & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--min-synced" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_goes_to_standard_output_and_lists_every_exit_status(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    for each in exit_table():
        if each.meaning:
            assert f"\n  {each.status:5}  {each.meaning}\n" in text


def test_the_version_is_that_of_the_package(lipsync: RunLipSync) -> None:
    done = lipsync("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "lipsync 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--crv", "3"], "--crv"),
        (["run", "a.mp4", "b.wav"], "--output"),
        (["run", "a.mp4", "-o", "c.mp4"], "AUDIO"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--crf", "99"], "crf is 99"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--crf", "high"], "--crf"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--preset", "warp"], "veryfast"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--start", "soon"], "[HH:]MM:SS"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--start", "3", "--end", "2"], "not after start"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--face", "left"], "largest"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--length", "both"], "audio"),
        (["run", "a.mp4", "b.wav", "-o", "c.mp4", "--min-synced", "90"], "0 to 1"),
        (["rum"], "rum"),
        (["models", "pul"], "pul"),
        (["models"], ": a command is missing; see: lipsync models --help"),
        (["bench"], ": a command is missing; see: lipsync bench --help"),
    ],
)
def test_a_bad_option_is_one_line_with_its_code(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lipsync: error BAD_OPTION: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_misspelt_option_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.mp4", "b.wav", "-o", "c.mp4", "--lenght", "video"]) == 2
    line = capsys.readouterr().err
    assert "Did you mean" in line
    assert "'--length'" in line
    assert line.count("\n") == 1


def test_an_unexpected_error_is_one_line_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(store: ModelStore, name: str) -> str:
        raise ZeroDivisionError(name)

    monkeypatch.setattr(ModelStore, "status", fail)
    assert main(["models", "list"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("lipsync: error INTERNAL: ZeroDivisionError: ")
    assert line.count("\n") == 1
    for arguments in (["--debug", "models", "list"], ["models", "list", "--debug"]):
        assert main(arguments) == 1
        assert capsys.readouterr().err.startswith("Traceback")
    monkeypatch.setenv("LIPSYNC_DEBUG", "1")
    assert main(["models", "list"]) == 1
    assert capsys.readouterr().err.startswith("Traceback")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen([LIPSYNC, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() in (0, 141)


def test_output_fails_when_standard_output_is_full() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as sink:
        done = subprocess.run([LIPSYNC, "models", "list"], stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("lipsync: error OUTPUT_UNWRITABLE: standard output cannot be written")
    assert done.stderr.count("\n") == 1


def test_callers_of_the_service_import_no_prefect() -> None:
    modules = ", ".join(f"lipsync_service.client.{name}" for name in ("job_client", "batch", "local_files"))
    code = f"import sys, {modules}; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
