"""`lipsync submit` without a service: the requests that it refuses, and the ways to name the service."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import RunLipSync
from tests.cli.test_ledger import gone

ADDRESSES = ("s3://in/v.mp4", "s3://in/a.wav", "-o", "s3://out/o.mp4")
COMMANDS = (("submit", *ADDRESSES), ("jobs", "list"), ("jobs", "show", "00000000-0000-0000-0000-000000000001"))


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an API on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("LIPSYNC_API_URL", f"http://user:secret@127.0.0.1:{port}/api")
    return f"http://127.0.0.1:{port}/api"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that is not Prefect's: it answers everything with `status` and `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the library calls

        def log_message(self, *args: object) -> None:
            """Write no log."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_a_service_that_is_down_is_one_line(command: tuple[str, ...], nobody: str, lipsync: RunLipSync) -> None:
    done = lipsync(*command)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith(f"lipsync: error SERVICE_UNAVAILABLE: the service at {nobody} does not answer: ")
    assert done.stderr.count("\n") == 1 and "secret" not in done.stderr


@pytest.mark.parametrize(
    ("status", "body", "exit_status", "code"),
    [
        (200, b"<html>secret</html>", 75, "SERVICE_UNAVAILABLE"),
        (404, b"secret", 75, "SERVICE_UNAVAILABLE"),
        (500, b"secret", 75, "SERVICE_UNAVAILABLE"),
        (401, b"{}", 7, "ACCESS_DENIED"),
        (422, b'{"detail": "secret"}', 2, "BAD_OPTION"),
    ],
)
def test_what_is_no_service_of_ours_is_one_line(
    status: int, body: bytes, exit_status: int, code: str, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(status, body) as url:
        monkeypatch.setenv("LIPSYNC_API_URL", url)
        done = lipsync_here("jobs", "list")
    assert done.returncode == exit_status, done.stderr
    assert done.stderr.startswith(f"lipsync: error {code}: the service at {url} ")
    assert done.stderr.count("\n") == 1 and "secret" not in done.stderr


def test_files_of_this_machine_fail_as_in_a_run_before_anything_is_sent(
    movie: Path, speech: Path, nobody: str, lipsync_here: RunLipSync
) -> None:
    for arguments in (
        ("none.mp4", speech.name, "-o", "out.mp4"),
        (speech.name, speech.name, "-o", "out.mp4"),
        (movie.name, movie.name, "-o", "out.mp4"),
        (movie.name, speech.name, "-o", "out.avi"),
        (movie.name, speech.name, "-o", "no/folder/out.mp4"),
        (movie.name, speech.name, "-o", movie.name),
    ):
        local, served = lipsync_here("run", *arguments), lipsync_here("submit", *arguments)
        assert served.stderr == local.stderr
        assert served.returncode == local.returncode in (3, 5)
    for track in (("--video-track", "1"), ("--audio-track", "fr")):
        arguments = (movie.name, speech.name, "-o", "out.mp4", *track)
        local, served = lipsync_here("run", *arguments), lipsync_here("submit", *arguments)
        assert served.stderr == local.stderr
        assert "BAD_OPTION: the file has no " in served.stderr
        assert served.returncode == local.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("s3://in/v.mp4", "ftp://in/a.wav", "-o", "s3://out/o.mp4"), "audio: it does not begin with s3://"),
        (("s3://in/v.mp4", "s3://in/a.wav", "-o", "s3://out/o.avi"), "output: its path ends in none of .mp4"),
        ((*ADDRESSES, "--crf", "99"), "crf: Input should be less than or equal to 51"),
        ((*ADDRESSES, "--max-size", "32x32"), "BAD_OPTION: max-size is 32x32; choose 64 pixels or more each way"),
        ((*ADDRESSES, "--encoder", "x265"), "BAD_OPTION: encoder x265 does not make h264; choose codec hevc, or auto"),
        ((*ADDRESSES, "--model", "magic"), "model: Input should be 'auto'"),
        ((*ADDRESSES, "--metadata", "show"), "'show' is not NAME=VALUE"),
        ((*ADDRESSES, "--callback-url", "mailto:me"), "callback_url: it does not begin with https://"),
        ((*ADDRESSES, "--service", "none.env"), "File 'none.env' does not exist"),
    ],
)
def test_a_request_fails_when_a_field_cannot_be_used(
    arguments: tuple[str, ...], said: str, nobody: str, lipsync_here: RunLipSync
) -> None:
    done = lipsync_here("submit", *arguments)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_files_of_this_machine_fail_when_no_storage_is_named(
    movie: Path, speech: Path, nobody: str, lipsync_here: RunLipSync
) -> None:
    done = lipsync_here("submit", movie.name, speech.name, "-o", "out.mp4")
    assert done.returncode == 2
    assert "no storage is named that local files could go through; set LIPSYNC_STORAGE_URL" in done.stderr


@pytest.mark.parametrize("command", ["submit", "batch"])
def test_files_of_this_machine_are_not_sent_when_the_service_is_down(
    command: str, movie: Path, speech: Path, nobody: str, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `make down` the storage is down as well, and its words tell the user nothing."""
    monkeypatch.setenv("LIPSYNC_STORAGE_URL", "s3://lipsync/work")
    monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", "http://127.0.0.1:9")
    movie.with_name("rows.csv").write_text(f"video,audio,output\n{movie.name},{speech.name},out.mp4\n")
    files = (movie.name, speech.name, "-o", "out.mp4") if command == "submit" else ("rows.csv",)
    done = lipsync_here(command, *files, "--quiet")
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith(f"lipsync: error SERVICE_UNAVAILABLE: the service at {nobody} does not answer: ")
    assert "make up" in done.stderr and done.stderr.count("\n") == 1


def test_the_file_names_the_service_and_the_environment_wins(
    tmp_path: Path, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.env").write_text("LIPSYNC_API_URL=http://127.0.0.1:9/other\n")
    assert "http://127.0.0.1:9/other" in lipsync_here("jobs", "list", "--service", "other.env").stderr
    (tmp_path / ".lipsync").mkdir()
    (tmp_path / ".lipsync" / "service.env").write_text("LIPSYNC_API_URL=http://127.0.0.1:9/usual\n")
    assert "http://127.0.0.1:9/usual" in lipsync_here("jobs", "list").stderr
    assert "http://127.0.0.1:9/other" in lipsync_here("jobs", "list", "--service", "other.env").stderr
    monkeypatch.setenv("LIPSYNC_SERVICE", "other.env")
    assert "http://127.0.0.1:9/other" in lipsync_here("jobs", "list").stderr
    monkeypatch.setenv("LIPSYNC_API_URL", "http://127.0.0.1:9/mine")
    assert "http://127.0.0.1:9/mine" in lipsync_here("jobs", "list").stderr


def test_a_command_fails_when_its_file_holds_what_cannot_be_used(tmp_path: Path, lipsync_here: RunLipSync) -> None:
    (tmp_path / "bad.env").write_text("LIPSYNC_STORAGE_URL=secret\n")
    done = lipsync_here("jobs", "list", "--service", "bad.env")
    assert done.returncode == 2
    assert "LIPSYNC_STORAGE_URL cannot be used" in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize("command", [*COMMANDS, ("batch", "rows.csv")], ids=lambda command: " ".join(command[:2]))
def test_a_command_fails_when_the_extra_is_missing(
    command: tuple[str, ...], tmp_path: Path, lipsync: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gone("httpx", tmp_path, monkeypatch):
        done = lipsync(*command)
    assert done.returncode == 2
    remedy = "needs the extra 'service'; install it with: pip install 'lipsync[service]'"
    assert done.stderr == f"lipsync: error BAD_OPTION: lipsync {command[0]} {remedy}\n"
