"""The commands that `make up` prints are run here as they are printed, against a server that asks for a password."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from infra.local.client_env import write_caller_files
from infra.local.instructions import how_to_use
from infra.local.layout import Layout
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.settings import Settings, variable_of
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.url import parse_url
from tests.cli.conftest import write_movie, write_wave
from tests.json_server import JsonServer
from tests.shared_files import ROOT
from tests.web import serving

JOB = "00000000-0000-0000-0000-000000000001"
AUTH = "caller:\"se\\same' 1"
TENANTS = {"acme": {"read": ["s3://media/acme"], "write": ["s3://media/acme/out/"]}, "beta": {}}


class GuardedPrefect(JsonServer):
    """Takes orders of jobs, which are complete at once; it asks for `auth`."""

    def __init__(self, auth: str | None) -> None:
        super().__init__()
        self.wanted = None if auth is None else f"Basic {base64.b64encode(auth.encode()).decode()}"
        self.orders: list[dict[str, Any]] = []

    def reply(self, path: str, body: dict[str, Any], authorization: str | None) -> tuple[int, object]:
        if self.wanted not in (None, authorization):
            return 401, {"exception_message": "no"}
        return 200, self.answer(path, body)

    def answer(self, path: str, body: dict[str, Any]) -> object:
        if path.startswith("/api/deployments/name/"):
            return {"id": "a-deployment"}
        if path.startswith("/api/variables/"):
            return None
        if path.endswith("/create_flow_run"):
            assert path == "/api/deployments/a-deployment/create_flow_run"
            self.orders.append(body)
            output = urlsplit(body["parameters"]["request"]["output"])
            if output.scheme == "file":
                Path(output.path).parent.mkdir(parents=True, exist_ok=True)
                Path(output.path).write_bytes(b"the movie")
        if path.endswith("/artifacts/filter"):
            return []
        return [self._run()] if path.endswith("/filter") else self._run()

    def _run(self) -> dict[str, Any]:
        now = "2026-03-01T00:00:00+00:00"
        times = dict.fromkeys(("created", "start_time", "end_time"), now)
        state = {"type": "COMPLETED", "name": "Completed", "message": "", "timestamp": now}
        pools = {"work_queue_name": "interactive", "work_pool_name": "lipsync-cpu"}
        parameters, name = self.orders[-1]["parameters"], self.orders[-1].get("name", "a-run")
        run = {"id": JOB, "name": name, "state": state, "parameters": parameters, "run_count": 1, "total_run_time": 1.0}
        return {**run, **times, **pools}


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a caller with no variable of the service, and with a face and a speech."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.chdir(tmp_path)
    write_movie(tmp_path / "face.mp4"), write_wave(tmp_path / "speech.wav")
    (tmp_path / ".lipsync").mkdir()
    (tmp_path / ".lipsync" / "s3.json").write_text(
        json.dumps({"identities": [{"credentials": [{"accessKey": "a", "secretKey": "b"}]}]})
    )
    yield tmp_path


def printed(folder: Path, root: str, port: int, settings: Settings) -> str:
    layout = Layout(ROOT, folder / root, port)
    return how_to_use(layout, write_caller_files(layout, settings), settings)


def commands(text: str) -> list[str]:
    """The lines that are meant for a shell: those that are indented."""
    return [line for line in text.splitlines() if line.startswith("  ")]


def run_in_shell(lines: list[str], folder: Path) -> None:
    # In place of the stack's S3 server, a folder; nothing else is given to the commands.
    environment = {**os.environ, "LIPSYNC_STORAGE_URL": (folder / "storage").as_uri()}
    done = subprocess.run(
        ["sh", "-e"], input="\n".join(lines), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tenants", [{}, TENANTS], ids=["no tenants", "tenants"])
@pytest.mark.parametrize("auth", [None, AUTH], ids=["open", "password"])
def test_the_printed_commands_work_as_they_are_printed(auth: str | None, tenants: dict[str, Any], caller: Path) -> None:
    settings = Settings.model_validate({"api_auth": auth, "tenants": tenants})
    server = GuardedPrefect(auth)
    with serving(server):
        text = printed(caller, ".lipsync", server.server_port, settings)
        run_in_shell(commands(text), caller)
    requests = [LipSyncRequest.model_validate(order["parameters"]["request"]) for order in server.orders]
    assert len(requests) == 2 and (caller / "out.mp4").read_bytes() == b"the movie"
    reaches = [Reach(settings, request.tenant) for request in requests]
    for url in (requests[1].video, requests[1].audio):
        reaches[1].check(parse_url(url), is_written=False)
    reaches[1].check(parse_url(requests[1].output), is_written=True)
    assert "se\\same" not in text


def test_the_files_with_the_password_are_for_this_user_alone_and_go_with_it(caller: Path) -> None:
    printed(caller, ".lipsync", 4200, Settings(api_auth=AUTH))  # type: ignore[arg-type]
    held = [path for path in (caller / ".lipsync").iterdir() if "same" in path.read_text()]
    assert sorted(path.name for path in held) == ["curl.conf", "service.env"]
    assert {path.stat().st_mode & 0o777 for path in held} == {0o600}
    assert "curl.conf" not in printed(caller, ".lipsync", 4200, Settings())
    assert not (caller / ".lipsync" / "curl.conf").exists()


def test_no_job_from_s3_is_printed_where_the_tenant_may_name_nothing_there(caller: Path) -> None:
    text = printed(caller, ".lipsync", 4200, Settings.model_validate({"tenants": {"beta": {}}}))
    assert "--tenant beta" in text and "curl" not in text
    assert "no place in S3 that the tenant beta may read" in text


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "boto3 botocore prefect pydantic pydantic_settings psycopg httpx".split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from infra.local.__main__ import run
sys.exit(run())
"""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "The service on one machine"),
        (["up", "--help"], 0, "Workers of each pool"),
        (["up"], 2, "lipsync: error BAD_OPTION: python -m infra.local needs the extra 'service'; install it with: "),
        (["down"], 2, "lipsync: error BAD_OPTION: python -m infra.local needs the extra 'service'; install it with: "),
    ],
)
def test_the_command_helps_or_says_one_line_where_only_the_demo_is_installed(
    arguments: list[str], status: int, said: str
) -> None:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr and "Traceback" not in done.stderr
