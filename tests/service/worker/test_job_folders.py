"""What a killed job left below TMPDIR is removed by its launcher, or by the next one; other folders stay."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("pydantic_settings", reason="the extra service is not installed")

from lipsync_service.worker.job_folders import folder_prefix, remove_abandoned, remove_folders

_KILLED = """
import os, signal, sys, tempfile
from lipsync_service.worker.job_folders import folder_prefix
print(tempfile.mkdtemp(prefix=folder_prefix()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def killed() -> tuple[int, Path]:
    """The id and the folder of a process that was killed."""
    process = subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=60)
    return process.pid, Path(said.strip())


def test_folders_of_dead_processes_are_removed_and_those_of_living_ones_stay(temporary: Path) -> None:
    mine, strange = Path(tempfile.mkdtemp(prefix=folder_prefix())), temporary / "lipsync-job-0-99999999-strange"
    strange.mkdir()
    (first_pid, first), (_, second) = killed(), killed()
    (second / "movie.mp4").write_bytes(b"half")
    assert first.is_dir() and second.is_dir()
    remove_folders(first_pid)
    assert sorted(temporary.iterdir()) == sorted([mine, strange, second])
    remove_abandoned()
    assert sorted(temporary.iterdir()) == sorted([mine, strange])  # the other one is of another container
