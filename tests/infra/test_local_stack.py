"""The pools of the local stack: the GPU pool where a GPU is that no model server holds, or where it is asked for."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from infra.local.layout import LOOPBACK, Layout
from infra.local.stack import Stack, gpu_pool, server_client
from lipsync_cli.bench.own_stack import free_first_port
from lipsync_core.errors import OptionError
from lipsync_service.gpu_meter import GpuSample
from lipsync_service.names import GPU_POOL
from tests.service.storage.web_store import WebStore
from tests.shared_files import ROOT
from tests.web import serving


@pytest.mark.parametrize(
    ("has_gpu", "settings", "pool"),
    [
        (False, {}, None),
        (True, {}, GPU_POOL),
        (True, {"LIPSYNC_MODEL_SERVER": "grpc://127.0.0.1:8001"}, None),
        (True, {"LIPSYNC_GPU_POOL": ""}, None),
        (False, {"LIPSYNC_GPU_POOL": GPU_POOL}, GPU_POOL),
    ],
)
def test_the_gpu_pool_is_used_where_a_gpu_is_or_where_it_is_asked_for(
    has_gpu: bool, settings: dict[str, str], pool: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIPSYNC_GPU_POOL", "LIPSYNC_MODEL_SERVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = (lambda: GpuSample(0.5, 1 << 30)) if has_gpu else None
    monkeypatch.setattr("infra.local.stack.open_gpu", lambda _visible: read)
    assert gpu_pool() == pool


def test_the_stack_fails_when_the_gpu_pool_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_GPU_POOL", "my-gpus")
    with pytest.raises(OptionError, match=r"LIPSYNC_GPU_POOL is my-gpus.*lipsync-gpu"):
        gpu_pool()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LIPSYNC_GPU_POOL": "my-gpus"}, "LIPSYNC_GPU_POOL is my-gpus; here it is lipsync-gpu, or empty for none"),
        ({"LIPSYNC_MAX_DURATION_S": "long"}, "LIPSYNC_MAX_DURATION_S cannot be used"),
    ],
)
def test_up_fails_with_one_line_and_a_code_when_a_setting_cannot_be_used(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "infra.local", "--root", str(tmp_path / "stack"), "up"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("lipsync: error BAD_OPTION: ") and said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("up", "--workers", "99"), 2, "BAD_OPTION: Invalid value for '--workers': 99 is not in the range"),
        (("--first-port", "80", "up"), 2, "BAD_OPTION: Invalid value for '--first-port': 80 is not in the range"),
        ((), 2, "BAD_OPTION: a command is missing; see: "),
        (("--root", "/proc/none", "up"), 5, "OUTPUT_UNWRITABLE: /proc/none cannot be made: "),
        (("--root", "/dev/null/none", "up"), 5, "OUTPUT_UNWRITABLE: /dev/null/none cannot be made: "),
    ],
)
def test_a_refused_up_is_one_line_with_a_code(arguments: tuple[str, ...], status: int, said: str) -> None:
    command = [sys.executable, "-m", "infra.local", *arguments]
    environment = {**os.environ, "LIPSYNC_FIRST_PORT": str(free_first_port())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr.startswith(f"lipsync: error {said}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("offset", [0, 1, 5])  # of Prefect's server, S3, and the watcher
def test_up_fails_before_anything_starts_when_another_program_has_a_port(offset: int, tmp_path: Path) -> None:
    """PostgreSQL, which comes first and has no port, was left running."""
    first_port = free_first_port()
    with socket.create_server((LOOPBACK, first_port + offset)):
        stack = Stack(Layout(ROOT, tmp_path / "stack", first_port), lambda _part: None)
        with pytest.raises(OptionError, match=f"another program listens on port {first_port + offset}, which "):
            stack.up()
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(("password", "sent"), [("caller:sesame", {"Basic Y2FsbGVyOnNlc2FtZQ=="}), (None, {None})])
def test_the_stack_asks_its_server_with_the_password_of_the_environment(password: str | None, sent: set[str]) -> None:
    server, chosen = WebStore(), {} if password is None else {PREFECT_API_AUTH_STRING: password}
    unset = set() if password else {PREFECT_API_AUTH_STRING}
    with serving(server), temporary_settings(chosen, restore_defaults=unset):
        with server_client(server.url("/api")) as client, pytest.raises(PrefectHTTPStatusError):
            client.request("GET", "/health")  # this server knows no page
        assert {headers.get("Authorization") for _, _, headers in server.requests} == sent
