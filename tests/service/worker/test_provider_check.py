"""A worker that cannot use its GPU ends at once, with a line that gives the reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.onnx_stand_in import ROOT, logged_events, stand_in_environment

pytest.importorskip("pydantic_settings", reason="the extra service is not installed")
pytest.importorskip("onnxruntime", reason="the extra neural is not installed")


def check(environment: dict[str, str], **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lipsync_service.worker.provider_check"]
    return subprocess.run(
        command, cwd=ROOT, env={**environment, **settings}, capture_output=True, text=True, timeout=60
    )


def test_a_provider_that_was_asked_for_proves_itself_with_a_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = check(stand_in_environment(log), LIPSYNC_PROVIDERS="cuda")
    assert (done.returncode, done.stderr) == (0, "")
    assert "networks run on cuda" in done.stdout
    assert ("run", "CUDAExecutionProvider") in {(each.event, each.provider) for each in logged_events(log)}


@pytest.mark.parametrize(
    ("fallback", "code"),
    [
        ("opening", "BAD_OPTION"),
        ("no_device", "BAD_OPTION"),
        ("nodes", "BAD_OPTION"),
        ("refusal", "BAD_OPTION"),
        ("run", "MODEL_INVALID"),
    ],
)
def test_the_check_fails_as_a_job_does_when_the_provider_falls_back_to_the_cpu(
    tmp_path: Path, fallback: str, code: str
) -> None:
    done = check(stand_in_environment(tmp_path / "log", fallback=fallback), LIPSYNC_PROVIDERS="cuda")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"lipsync: error {code}: ")
    assert ("choose cpu" in line) == (code == "BAD_OPTION")


def test_the_check_fails_when_this_onnx_runtime_does_not_offer_the_provider() -> None:
    done = check(dict(os.environ), LIPSYNC_PROVIDERS="cuda")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("lipsync: error BAD_OPTION: this ONNX Runtime has no cuda provider; install ")


def test_auto_takes_the_cpu_where_there_is_no_more_and_says_so() -> None:
    done = check(dict(os.environ), LIPSYNC_PROVIDERS="auto")
    assert done.returncode == 0
    assert "networks run on cpu" in done.stdout and "cuda is not in this ONNX Runtime" in done.stdout
