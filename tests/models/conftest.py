import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from tests.web import FileServer, ForwardProxy, serving

MODEL = "mediapipe-face"


@pytest.fixture
def proxy(server: FileServer) -> Iterator[ForwardProxy]:
    """A proxy that leads to `server`; no setting names it yet."""
    proxy = ForwardProxy(server)
    with serving(proxy):
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real model, copied from this user's models if it is installed there."""
    root = tmp_path_factory.mktemp("models")
    own = Workspace.default().models / MODEL
    if ModelStore(own.parent).status(MODEL) == "installed":
        shutil.copytree(own, root / MODEL)
    ModelInstaller(ModelStore(root)).pull(MODEL)
    return root


@pytest.fixture
def store(installed: Path, tmp_path: Path) -> ModelStore:
    """The real model, for one test to damage."""
    shutil.copytree(installed, tmp_path / "models")
    return ModelStore(tmp_path / "models")
