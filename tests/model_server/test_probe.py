"""The probe that `lipsync models export-repository` writes tells whether the models answer, by an inference each."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipsync_core.models.store import ModelStore
from lipsync_core.serving.repository import export_repository
from tests.echo_network import write_echo
from tests.model_server.callers import MODEL, Callers
from tests.model_server.conftest import WaitUntil
from tests.model_server.repository import changed_config, held, serve_by_python
from tests.model_server.triton import TritonServer, running_server
from tests.model_server.wheel import needs_triton
from tests.servers import about_to_start, starts_servers
from tests.wav2lip_weights import home_with

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl, which Triton's image has, is not installed")
pytestmark = [starts_servers, needs_triton, needs_curl]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The model in a folder of the product's own, its network exchanged for the one with a GPU's timing."""
    workspace = home_with(write_echo(tmp_path / "echo.onnx"), tmp_path / "home")
    export_repository(ModelStore(workspace.models), tmp_path / "served")
    serve_by_python(tmp_path / "served" / MODEL, "timed")
    with changed_config(tmp_path / "served" / MODEL) as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 1
        config.max_batch_size = 8
    return tmp_path / "served" / MODEL


@pytest.fixture
def server(exported: Path, tmp_path: Path) -> Iterator[TritonServer]:
    about_to_start("Triton's server")
    with running_server(exported.parent, tmp_path) as started:
        yield started


def probe(server: TritonServer) -> tuple[int, str]:
    command = ["sh", server.repository / "check.sh", f"http://127.0.0.1:{server.http_port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_the_probe_passes_while_each_model_answers(server: TritonServer) -> None:
    before = server.statistics(MODEL)
    status, line = probe(server)
    assert (status, line.count("\n")) == (0, 1)
    assert MODEL in line
    assert server.statistics(MODEL).since(before).frames == 1


def test_the_probe_fails_when_a_backend_is_dead_behind_a_ready_server(
    server: TritonServer, wait_until: WaitUntil
) -> None:
    (stub,) = server.stubs()
    stub.kill()
    wait_until(lambda: stub not in server.stubs())
    status, line = probe(server)
    assert (status, line.count("\n")) == (1, 1)
    assert f"{MODEL} does not answer" in line
    assert server.is_ready()


def test_the_probe_fails_when_the_server_is_gone(server: TritonServer) -> None:
    server.kill()
    status, line = probe(server)
    assert (status, line.count("\n")) == (1, 1)


def test_the_probe_passes_while_the_queue_is_full(server: TritonServer, exported: Path, wait_until: WaitUntil) -> None:
    with held(exported):
        callers = Callers(server.url, 4, 8)
        wait_until(lambda: server.waiting_requests(MODEL) == 1)
        assert probe(server)[0] == 0
    assert all(told.is_right for told in callers.told())
