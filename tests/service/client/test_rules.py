"""What workers tell of their limits and tenants reaches callers: doctor shows it, and nothing is sent for strangers."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.client.schemas.actions import VariableCreate, VariableUpdate

from lipsync_cli.main import main
from lipsync_core.errors import OptionError
from lipsync_service.client import LipSyncRequest, open_client
from lipsync_service.client.rules import rules_from
from lipsync_service.errors import ServiceDownError
from lipsync_service.names import rules_variable
from lipsync_service.settings import Settings, load_settings, variable_of
from lipsync_service.worker.stated_rules import rules_of, state_rules
from tests.cli.conftest import write_movie, write_wave

TENANTS = {"acme": {}, "beta": {}}


class Variables:
    """Prefect's variables, as its client writes them."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    async def read_variable_by_name(self, name: str) -> Any:
        return self.held.get(name)

    async def create_variable(self, variable: VariableCreate) -> None:
        assert variable.name not in self.held
        self.held[variable.name] = variable.value

    async def update_variable(self, variable: VariableUpdate) -> None:
        assert variable.name in self.held
        self.held[variable.name] = variable.value


class _Handler(BaseHTTPRequestHandler):
    server: "Prefect"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        found = {"value": self.server.variables[name]} if name in self.server.variables else None
        text = json.dumps({"id": "d"} if "/deployments/" in self.path else found).encode()
        self.server.asked.append(self.path)
        self.send_response(200 if found or "/deployments/" in self.path else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(500)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class Prefect(HTTPServer):
    """A server that holds variables, and knows every deployment."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.variables: dict[str, Any] = {}
        self.asked: list[str] = []


@pytest.fixture
def prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prefect]:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.chdir(tmp_path)
    with Prefect() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        lines = [
            f"LIPSYNC_API_URL=http://127.0.0.1:{server.server_port}/api",
            f"LIPSYNC_STORAGE_URL={(tmp_path / 'storage').as_uri()}",
        ]
        (tmp_path / "service.env").write_text("\n".join(lines))
        yield server
        server.shutdown()
        thread.join()


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["doctor", "--json", *arguments])
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_a_worker_tells_its_limits_and_tenants_and_replaces_those_of_an_earlier_one() -> None:
    variables = Variables()
    for most in (7, 8):
        told = Settings.model_validate({"max_pixels": most, "tenants": TENANTS})
        asyncio.run(state_rules(variables, "lipsync-cpu", told))  # type: ignore[arg-type]
    rules = rules_from(variables.held["lipsync_rules_lipsync_cpu"])
    assert rules is not None
    assert (rules.limits["max_pixels"], rules.limits["max_duration_s"], rules.tenants) == (8, 3600, ("acme", "beta"))
    assert len(json.dumps(rules_of(told))) < 5000  # what Prefect keeps


@pytest.mark.parametrize("value", [None, "x", [], {"host": "\x1b[2J", "since": 0, "limits": {}, "tenants": []}])
def test_what_is_no_rules_of_ours_is_none(value: object) -> None:
    assert rules_from(value) is None


def test_doctor_shows_the_limits_of_the_services_workers(prefect: Prefect, capsys: pytest.CaptureFixture[str]) -> None:
    prefect.variables[rules_variable("lipsync-cpu")] = rules_of(Settings(max_pixels=12345678))
    found = doctor(capsys, "--service", "service.env")
    assert found["limits of lipsync-cpu"]["is_ok"]
    assert found["limits of lipsync-cpu"]["detail"].endswith(
        "the defaults, but max_duration_s 3600, max_pixels 12345678"
    )
    assert "of `lipsync run`" in found["limits"]["detail"]  # and so not of the service
    assert "limits of lipsync-gpu" not in found


def test_doctor_says_how_to_see_the_limits_where_the_service_does_not_tell_them(
    prefect: Prefect, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = doctor(capsys, "--service", "service.env")["limits of lipsync-cpu"]
    assert told["is_ok"] and "no worker has told them" in told["detail"] and "on their host" in told["detail"]
    (tmp_path / "down.env").write_text("LIPSYNC_API_URL=http://127.0.0.1:9/api")
    told = doctor(capsys, "--service", "down.env")["limits of workers"]
    assert told["is_ok"] and "does not answer" in told["detail"] and "on their host" in told["detail"]
    assert not any(name.startswith("limits of lipsync") for name in doctor(capsys))


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://127.0.0.1/hook", True),
        ("http://169.254.169.254/latest/meta-data", True),
        ("https://[fd00:ec2::254]/hook", True),
        ("http://2130706433/hook", True),
        ("http://8.8.8.8:6379/hook", True),
        ("http://10.1.2.3:8080/hook", False),  # the service allows this one
        ("http://10.1.2.3:8081/hook", True),
        ("https://8.8.8.8/hook", False),
        ("https://inside.corp/hook", False),  # a name is left to the watcher, which looks it up
    ],
)
def test_a_callback_to_an_address_that_is_never_called_is_refused_before_anything_is_sent(
    url: str, is_refused: bool, prefect: Prefect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = ("10.1.2.3:8080", "private.name.example")
    told = prefect.variables[rules_variable("lipsync-cpu")] = rules_of(Settings(http_allowed_hosts=allowed))
    assert "private.name" not in json.dumps(told)
    write_movie(tmp_path / "v.mp4"), write_wave(tmp_path / "a.wav")
    command = ["submit", "v.mp4", "a.wav", "-o", "out.mp4", "--service", "service.env", "--callback-url", url]
    assert main(command) == (7 if is_refused else 75)  # this server takes no order
    assert ("URL_REFUSED" in capsys.readouterr().err) is is_refused
    assert (tmp_path / "storage").exists() is not is_refused
    assert any("create_flow_run" in path for path in prefect.asked) is not is_refused


def test_no_order_holds_a_text_that_the_services_database_cannot_keep(prefect: Prefect, tmp_path: Path) -> None:
    """Prefect's server answers it with 503, as if it were down."""
    request = LipSyncRequest(video="s3://in/v.mp4", audio="s3://in/a.wav", output="s3://out/o.mp4")
    with open_client(load_settings(tmp_path / "service.env")) as client:
        for key in ("a\0b", "\udcff"):
            with pytest.raises(OptionError, match="the key holds a NUL or half a character"):
                client.submit(request, key=key)
        assert not any("create_flow_run" in path for path in prefect.asked)
        with pytest.raises(ServiceDownError, match="status 500"):  # it was sent, though the file's name is no text
            client.submit(request, name="\udcff-\0")
    assert any("create_flow_run" in path for path in prefect.asked)


@pytest.mark.parametrize(
    ("tenants", "option", "said"),
    [
        (TENANTS, ["--tenant", "gamma"], "BAD_OPTION: the service knows no tenant gamma; "),
        (TENANTS, [], "BAD_OPTION: the request names no tenant, and this service has tenants; "),
        ({}, ["--tenant", "acme"], "BAD_OPTION: the service knows no tenant acme; "),
    ],
)
def test_no_file_is_sent_for_a_tenant_that_the_service_does_not_know(
    tenants: dict[str, Any],
    option: list[str],
    said: str,
    prefect: Prefect,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prefect.variables[rules_variable("lipsync-cpu")] = rules_of(Settings.model_validate({"tenants": tenants}))
    write_movie(tmp_path / "v.mp4"), write_wave(tmp_path / "a.wav")
    command = ["submit", "v.mp4", "a.wav", "-o", "out.mp4", "--service", "service.env", *option]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "storage").exists() and not any("create_flow_run" in path for path in prefect.asked)
