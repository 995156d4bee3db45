"""A server of Prefect's with the variable that Compose and Kubernetes set answers nobody without the password."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from lipsync_service.client.prefect_api import RunQuery, open_api
from lipsync_service.errors import AccessDeniedError
from lipsync_service.settings import Settings
from tests.service.conftest import free_ports

AUTH = "caller:sesame"
READY_S = 180.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that asks for the password; on a database of its own."""
    folder, [port] = tmp_path_factory.mktemp("guarded"), free_ports(1)
    environment = {
        **os.environ,
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "PREFECT_HOME": str(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end_s:
        try:
            if httpx.get(f"{url}/api/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


CALLS = [
    ("POST", "/flow_runs/filter"),
    ("POST", "/deployments/filter"),
    ("POST", "/artifacts/filter"),
    ("POST", "/logs/filter"),
    ("POST", "/flow_runs/"),
    ("POST", "/events/filter"),
    ("POST", "/variables/filter"),
    ("POST", "/block_documents/filter"),
    ("POST", "/work_pools/filter"),
    ("GET", "/admin/settings"),
    ("GET", "/admin/version"),
    ("POST", "/admin/database/clear"),
    ("GET", "/flow_runs/health/../filter"),
    ("DELETE", "/work_pools/lipsync-cpu"),
]


def test_nobody_without_the_password_is_answered(guarded: str) -> None:
    wrong = {
        "none": {},
        "another": {"Authorization": "Basic " + base64.b64encode(b"caller:wrong").decode()},
        "half": {"Authorization": "Basic"},
        "another kind": {"Authorization": f"Bearer {AUTH}"},
    }
    for method, path in CALLS:
        for name, headers in wrong.items():
            answer = httpx.request(method, f"{guarded}/api{path}", headers=headers, json={}, timeout=30)
            assert (path, name, answer.status_code) == (path, name, httpx.codes.UNAUTHORIZED)


def test_the_ui_holds_no_data_and_asks_the_same_api(guarded: str) -> None:
    """The page is a program without data: all that it shows comes through the API, for which it asks the password."""
    page = httpx.get(f"{guarded}/", follow_redirects=True, timeout=30)
    settings = httpx.get(f"{guarded}/ui-settings", timeout=30)
    told = page.text + settings.text
    assert page.status_code == httpx.codes.OK and "sesame" not in told
    assert json.loads(settings.text)["auth"] == "BASIC"


def test_the_stream_of_events_asks_for_it_as_well(guarded: str) -> None:
    address = guarded.replace("http", "ws") + "/api/events/out"
    with connect(address, subprotocols=["prefect"]) as stream:  # type: ignore[list-item]
        stream.send(json.dumps({"type": "auth", "token": "caller:wrong"}))
        try:
            answer = json.loads(stream.recv(30))
        except WebSocketException:
            answer = {"type": "closed"}
    assert answer["type"] in ("auth_failure", "closed")


def test_our_own_client_needs_it_and_gets_in_with_it(guarded: str) -> None:
    with open_api(Settings(api_url=f"{guarded}/api")) as api, pytest.raises(AccessDeniedError):
        api.runs(RunQuery("lipsync"))
    with open_api(Settings(api_url=f"{guarded}/api", api_auth=AUTH)) as api:
        assert api.runs(RunQuery("lipsync")) == []
