"""`lipsync gc`: what it says, and that it touches nothing where it does not know what is in use."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.web import serving

pytest.importorskip("pydantic_settings", reason="the extra service is not installed")
from lipsync_cli.main import main
from lipsync_service.ledger.database import upgrade

OLD_S = (datetime.now(UTC) - timedelta(days=31)).timestamp()


class _NoRuns(BaseHTTPRequestHandler):
    """Answers every question for runs with an empty list."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the storage, with an old and a young face track; the service answers, and has no runs."""
    for name in os.environ:
        if name.startswith("LIPSYNC_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "storage"
    for name in ("old", "young"):
        (folder / "tracks").mkdir(parents=True, exist_ok=True)
        (folder / "tracks" / f"{name}.npz").write_bytes(b"x" * 2_500_000)
    os.utime(folder / "tracks" / "old.npz", (OLD_S, OLD_S))
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    upgrade(ledger)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NoRuns)
    values = {
        "STORAGE_URL": folder.as_uri(),
        "DATABASE_URL": ledger,
        "CACHE_DIR": str(tmp_path / "cache"),
        "API_URL": f"http://127.0.0.1:{server.server_port}/api",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"LIPSYNC_{name}", value)
    with serving(server):
        yield folder


def test_a_dry_run_says_what_would_go_and_the_next_call_removes_it(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["would", "go", "MB", "kept", "MB", "in", "use"]
    [tracks] = [line.split() for line in lines if line.startswith("tracks")]
    assert tracks == ["tracks", "1", "2.5", "1", "2.5", "0"]
    assert lines[-1] == "1 would go, 2.5 MB"
    assert (storage / "tracks" / "old.npz").exists()

    assert main(["gc"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 removed, 2.5 MB"
    assert [path.name for path in (storage / "tracks").iterdir()] == ["young.npz"]


def test_the_figures_as_json(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["dry_run"], said["removed"]) == ("lipsync.gc/1", False, 1)
    assert said["removed_bytes"] == 2_500_000
    [tracks] = [each for each in said["kinds"] if each["kind"] == "tracks"]
    assert (tracks["removed"], tracks["kept"], tracks["kept_bytes"], tracks["in_use"]) == (1, 1, 2_500_000, 0)


def test_nothing_goes_where_the_service_does_not_answer(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_API_URL", "http://127.0.0.1:9/api")
    assert main(["gc"]) == 75
    assert "SERVICE_UNAVAILABLE" in capsys.readouterr().err
    assert (storage / "tracks" / "old.npz").exists()


def test_doctor_tells_for_how_long_things_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_KEEP_TRACKS_DAYS", "3.5")
    monkeypatch.setenv("LIPSYNC_KEEP_BYTES", "5GiB")
    main(["doctor", "--json", "--home", str(tmp_path)])
    said = {each["name"]: each["detail"] for each in json.loads(capsys.readouterr().out)["checks"]}
    assert (said["kept tracks"], said["kept results"]) == ("3.5 days", "for ever")
    assert said["kept uploads+tracks+edits"] == "5.0GiB together"


def test_the_ledger_lies_beside_the_file_that_names_the_service(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LIPSYNC_DATABASE_URL")
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "service.env").write_text("")
    line = f"LIPSYNC_DATABASE_URL=sqlite:///{tmp_path / 'ledger.sqlite'}\n"
    (tmp_path / "stack" / "ledger.env").write_text(line)
    assert main(["gc", "--json", "--service", str(tmp_path / "stack" / "service.env")]) == 0
    assert "callbacks in the ledger" in {each["kind"] for each in json.loads(capsys.readouterr().out)["kinds"]}


def test_a_caller_who_knows_no_ledger_cleans_the_rest_and_makes_none(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_DATABASE_URL", f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert main(["gc"]) == 0
    assert "ledger" not in capsys.readouterr().out
    assert not (tmp_path / "none.sqlite").exists() and not (storage / "tracks" / "old.npz").exists()
