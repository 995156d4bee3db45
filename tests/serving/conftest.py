"""Models to serve, made without torch: a network that gives back the mouth's rows of the crop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lipsync_core.models.store import ModelStore
from tests.echo_network import write_echo
from tests.serving.stand_in_server import StandInServer, serving
from tests.wav2lip_weights import home_with


@pytest.fixture(scope="session")
def echo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user who has imported the network as `wav2lip`, and accepted its licence."""
    folder = tmp_path_factory.mktemp("echo home")
    home_with(write_echo(folder / "echo.onnx"), folder)
    return folder


@pytest.fixture
def store(echo_home: Path) -> ModelStore:
    from lipsync_core.workspace import Workspace

    return ModelStore(Workspace.below(echo_home).models)


@pytest.fixture(scope="session")
def repository(echo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lipsync_core.serving.repository import export_repository
    from lipsync_core.workspace import Workspace

    folder = tmp_path_factory.mktemp("served") / "repository"
    export_repository(ModelStore(Workspace.below(echo_home).models), folder)
    return folder


@pytest.fixture
def server(repository: Path) -> StandInServer:
    return StandInServer(repository)


@pytest.fixture
def address(server: StandInServer) -> Iterator[str]:
    with serving(server) as found:
        yield found
