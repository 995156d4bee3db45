"""A real Triton server for the tests of this folder, on models of theirs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_server.repository import write_stand_in
from tests.model_server.triton import TritonServer, running_server
from tests.servers import about_to_start

_PATIENCE_S = 60.0

WaitUntil = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stand-in model that the module's server serves."""
    return write_stand_in(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def shared_server(stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The module's server."""
    about_to_start("Triton's server")
    with running_server(stand_in.parent, tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture
def triton(shared_server: TritonServer) -> TritonServer:
    """The module's server, started again if the test before ended it."""
    if not shared_server.is_ready():
        shared_server.start()
    return shared_server


@pytest.fixture
def wait_until() -> WaitUntil:
    """Wait until a condition holds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition does not come true"
            time.sleep(0.01)

    return wait
