"""Leftovers of killed processes on this host."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.conftest import NOT_INSTALLED

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_service.cleaning.collector import Cleaned
from lipsync_service.cleaning.host import DOWNLOADS, JOB_FOLDERS, clean_host, clean_host_seldom, job_folder
from lipsync_service.settings import Settings

ROOT = Path(__file__).parents[3]
LONG_AGO_S = time.time() - 27 * 3600  # a job takes a day at most
MakeSettings = Callable[..., Settings]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def folder_of(temporary: Path, name: str, is_old: bool) -> Path:
    folder = temporary / name
    folder.mkdir()
    (folder / "output.mp4").write_bytes(b"x" * 500)
    if is_old:
        for path in (folder / "output.mp4", folder):
            os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return folder


def kinds(cleaned: list[Cleaned]) -> dict[str, Cleaned]:
    return {each.kind: each for each in cleaned}


def test_the_folders_of_killed_jobs_go_and_those_of_running_ones_stay(temporary: Path, settings: MakeSettings) -> None:
    new = folder_of(temporary, "lipsync-job-new", is_old=False)
    other = folder_of(temporary, "somebody-elses", is_old=True)
    old = folder_of(temporary, "lipsync-job-old", is_old=True)
    with job_folder() as at_work:
        (at_work / "edits.npy").write_bytes(b"x" * 70)
        for path in (at_work / "edits.npy", at_work):  # it has been waiting for long
            os.utime(path, (LONG_AGO_S, LONG_AGO_S))
        assert kinds(clean_host(settings(), is_dry=True))[JOB_FOLDERS].removed == 1 and old.exists()
        found = kinds(clean_host(settings()))[JOB_FOLDERS]
        assert (found.removed, found.removed_bytes, found.kept) == (1, 500, 2)
        assert not old.exists() and new.exists() and at_work.exists() and other.exists()
    assert not at_work.exists()


def test_the_folder_of_a_process_that_is_killed_is_nobodys(temporary: Path, settings: MakeSettings) -> None:
    code = (
        "import os, signal, tempfile; from lipsync_service.cleaning.host import job_folder\n"
        "with job_folder() as folder: os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    [left] = temporary.iterdir()
    os.utime(left, (LONG_AGO_S, LONG_AGO_S))
    clean_host(settings())
    assert not left.exists()


def test_a_link_in_the_place_of_a_job_folder_is_not_followed(temporary: Path, settings: MakeSettings) -> None:
    target = folder_of(temporary, "target", is_old=True)
    (temporary / "lipsync-job-link").symlink_to(target)
    os.utime(temporary / "lipsync-job-link", (LONG_AGO_S, LONG_AGO_S), follow_symlinks=False)
    clean_host(settings())
    assert (target / "output.mp4").exists()


def test_abandoned_downloads_go_and_one_in_use_stays_however_old(settings: MakeSettings) -> None:
    chosen = settings()
    arriving = chosen.cache_dir / "arriving"
    arriving.mkdir(parents=True)
    for name in ("old", "old.done", "in-use", "young", "stale.lock"):
        (arriving / name).write_bytes(b"x" * 4096)
        if name != "young":
            os.utime(arriving / name, (LONG_AGO_S, LONG_AGO_S))
    with (arriving / "in-use").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert kinds(clean_host(chosen))[DOWNLOADS].removed == 2
    assert {path.name for path in arriving.iterdir()} == {"in-use", "young"}


def test_each_host_cleans_itself_a_few_times_a_day(temporary: Path, settings: MakeSettings) -> None:
    chosen = settings()
    first = folder_of(temporary, "lipsync-job-first", is_old=True)
    clean_host_seldom(chosen)
    second = folder_of(temporary, "lipsync-job-second", is_old=True)
    clean_host_seldom(chosen)
    assert not first.exists() and second.exists()
    os.utime(chosen.cache_dir / "cleaned", (LONG_AGO_S, LONG_AGO_S))
    clean_host_seldom(chosen)
    assert not second.exists()


def test_a_host_whose_cache_cannot_be_written_fails_no_job(tmp_path: Path, settings: MakeSettings) -> None:
    (tmp_path / "file").write_text("")
    clean_host_seldom(settings(cache_dir=tmp_path / "file" / "cache"))
    assert (tmp_path / "file").read_text() == ""
