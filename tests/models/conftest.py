from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import FileServer, ForwardProxy, serving, trust_the_authority


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server whose certificate is trusted in this test."""
    trust_the_authority(tmp_path_factory.mktemp("certificates"), monkeypatch)
    server = FileServer()
    with serving(server):
        yield server


@pytest.fixture
def proxy(server: FileServer) -> Iterator[ForwardProxy]:
    """Leads to `server`; no setting names it yet."""
    proxy = ForwardProxy(server)
    with serving(proxy):
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"
