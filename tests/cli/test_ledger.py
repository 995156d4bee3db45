"""`lipsync run --ledger`: the outcome of every job is in the ledger, and a broken ledger fails no job."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ledger_databases import KINDS, fresh_database, outage  # skips all below where the extra is missing
from tests.servers import starts_servers

# isort: split
pytest.importorskip("pydantic_settings", reason="the ledger needs the extra 'service'")
from lipsync_service.ledger.database import open_engine, upgrade
from tests.cli.conftest import LIPSYNC, SPEECH, RunLipSync

SHORT = ("--end", "0.2", "--quiet")  # 6 frames


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's environment, and a spool of this test's own."""
    for name in os.environ:
        if name.startswith("LIPSYNC_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSYNC_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@contextmanager
def gone(package: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Child processes cannot import `package` inside the block."""
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError('gone', name={package!r})")
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder))
        yield


def jobs_in(url: str) -> list[tuple[str, ...]]:
    with open_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT state, error_code, video_url, output_url FROM jobs ORDER BY state")
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_shows_jobs_of_the_command_line(
    kind: str, face_clip: Path, home: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    with fresh_database(kind, tmp_path) as url:
        options = ("-o", "out.mp4", *SHORT, "--home", home, "--ledger", url)
        done = lipsync("run", face_clip, SPEECH, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert lipsync("run", "absent.mp4", speech, *options).returncode == 3
        reported = json.loads(lipsync("report", "--database", url, "--format", "json").stdout)
        kept = jobs_in(url)
    assert reported["states"] == {"completed": 1, "failed": 1}
    assert reported["errors"] == {"FILE_NOT_FOUND": 1}
    assert reported["frames"]["synced"] == 6
    assert {"decode", "track", "encode"} <= {stage["stage"] for stage in reported["stages"]}
    assert kept[0] == ("completed", None, str(face_clip), str(tmp_path / "out.mp4"))
    assert kept[1] == ("failed", "FILE_NOT_FOUND", str(tmp_path / "absent.mp4"), None)


def test_the_ledger_may_be_named_by_the_environment(
    speech: Path, sqlite_url: str, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_LEDGER", "auto")
    monkeypatch.setenv("LIPSYNC_DATABASE_URL", sqlite_url)
    lipsync_here("run", "absent.mp4", speech, "-o", "out.mp4")
    assert json.loads(lipsync_here("report", "--format", "json").stdout)["jobs"] == 1


def test_a_stopped_job_is_entered_as_cancelled(face_clip: Path, home: Path, sqlite_url: str, tmp_path: Path) -> None:
    command = [LIPSYNC, "run", face_clip, SPEECH, "-o", "out.mp4", "--home", home, "--ledger", sqlite_url]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert any(line.startswith("track") for line in iter(child.stderr.readline, ""))
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert child.returncode == 130
    assert jobs_in(sqlite_url) == [("cancelled", None, str(face_clip), None)]


@starts_servers
def test_a_ledger_that_is_down_costs_a_job_one_line_and_gets_its_rows_later(
    face_clip: Path, home: Path, speech: Path, tmp_path: Path, lipsync: RunLipSync
) -> None:
    with fresh_database("postgresql", tmp_path) as url:
        upgrade(url)
        options = ("-o", "out.mp4", *SHORT, "--home", home, "--ledger", url)
        with outage(url):
            done = lipsync("run", face_clip, SPEECH, *options)
        assert done.returncode == 0
        assert done.stderr.startswith("the ledger is down, rows wait in ") and done.stderr.count("\n") == 1
        assert (tmp_path / "out.mp4").exists() and jobs_in(url) == []
        lipsync("run", "absent.mp4", speech, *options)
        assert [state for state, *_ in jobs_in(url)] == ["completed", "failed"]


def test_what_waits_for_one_ledger_is_not_written_to_another(
    speech: Path, sqlite_url: str, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    (tmp_path / "file").touch()
    for url in (f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite'}", sqlite_url):
        lipsync_here("run", "absent.mp4", speech, "-o", "out.mp4", "--ledger", url)
    assert len(jobs_in(sqlite_url)) == 1
    assert len(list((tmp_path / "spool").glob("*/*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://user:secret@host/ledger", "cannot be kept in 'mysql'"),
        ("sqlite://", "needs a file"),
        ("secret", "address cannot be read"),
    ],
)
def test_a_job_fails_before_any_work_when_the_ledger_cannot_be_used(
    url: str, said: str, speech: Path, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    done = lipsync_here("run", "absent.mp4", speech, "-o", "out.mp4", "--ledger", url)
    assert done.returncode == 2  # not 3: the video was not opened
    assert done.stderr.startswith("lipsync: error BAD_OPTION: ") and done.stderr.count("\n") == 1
    assert said in done.stderr and "secret" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [speech.name]


def test_a_job_fails_before_any_work_when_a_setting_cannot_be_used(
    speech: Path, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_CACHE_CAP_BYTES", "secret")
    done = lipsync_here("run", "absent.mp4", speech, "-o", "out.mp4", "--ledger", "auto")
    assert done.returncode == 2
    assert "LIPSYNC_CACHE_CAP_BYTES cannot be used" in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize("package", ["sqlalchemy", "pydantic"])
def test_a_job_fails_before_any_work_when_the_extra_is_missing(
    package: str, speech: Path, tmp_path: Path, lipsync: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gone(package, tmp_path, monkeypatch):
        done = lipsync("run", "absent.mp4", speech, "-o", "out.mp4", "--ledger", "auto")
        without = lipsync("run", "absent.mp4", speech, "-o", "out.mp4")
    assert done.returncode == 2
    assert "lipsync run --ledger needs the extra 'service'" in done.stderr and done.stderr.count("\n") == 1
    assert without.returncode == 3  # a job without a ledger needs nothing of the extra
