"""Real servers for the service's tests: S3 from a pip package, and a web server that misbehaves on demand."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import about_to_start
from tests.service.storage.web_store import WebStore
from tests.web import authority, serving, trust_the_authority

NOT_INSTALLED = "the extras service and local-service are not installed"
READY_S = 30.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running S3 server, with a key that permits every operation."""

    endpoint: str
    access_key: str
    secret_key: str

    def client(self) -> Any:
        boto3 = pytest.importorskip("boto3", reason=NOT_INSTALLED)
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server on free loopback ports for the whole run."""
    about_to_start("S3")
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip(NOT_INSTALLED)
    folder = tmp_path_factory.mktemp("s3")
    server = S3Server("", "test-key", secrets.token_hex(16))
    (folder / "s3.json").write_text(json.dumps({"identities": [_identity(server)]}))
    (folder / "data").mkdir()
    ports = free_ports(8)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_command(weed, folder, ports), stdout=log, stderr=log, cwd=folder)
    try:
        endpoint = f"http://127.0.0.1:{ports[3]}"
        _wait_until_ready(f"{endpoint}/healthz", process, folder / "log")
        yield S3Server(endpoint, server.access_key, server.secret_key)
    finally:
        process.kill()  # after SIGTERM it would wait for idle connections, and its data is not needed
        process.wait()


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[str]:
    """An empty bucket, removed after the test."""
    name, client = f"test-{secrets.token_hex(6)}", s3_server.client()
    client.create_bucket(Bucket=name)
    yield name
    for each in client.list_objects_v2(Bucket=name).get("Contents", ()):
        client.delete_object(Bucket=name, Key=each["Key"])
    client.delete_bucket(Bucket=name)
    client.close()


@pytest.fixture
def web() -> Iterator[WebStore]:
    """A plain web server on 127.0.0.1."""
    server = WebStore()
    with serving(server):
        yield server


@pytest.fixture
def secure_web(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebStore]:
    """The same over TLS, with a certificate for `localhost` and `weights.test` that this test trusts."""
    trust_the_authority(tmp_path_factory.mktemp("certificates"), monkeypatch)
    server = WebStore(authority())
    with serving(server):
        yield server


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Settings with the test's own folders and without the environment's variables; keywords set others."""
    module = pytest.importorskip("lipsync_service.settings", reason=NOT_INSTALLED, exc_type=ImportError)
    for name in module.Settings.model_fields:
        monkeypatch.delenv(module.variable_of(name), raising=False)
    own = {"cache_dir": tmp_path / "cache", "spool_dir": tmp_path / "spool"}
    folders = {"storage_url": (tmp_path / "storage").as_uri(), **own}

    def make(**chosen: Any) -> Any:
        return module.Settings(**{**folders, **chosen})

    return make


def free_ports(count: int) -> list[int]:
    """Different ports that were free just now."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


def _identity(server: S3Server) -> dict[str, Any]:
    keys = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    return {"name": "tests", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}


def _command(weed: str, folder: Path, ports: list[int]) -> list[str]:
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    twins = ("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
    chosen = [f"-{name}={port}" for name, port in zip((*names, *twins), ports, strict=True)]
    fixed = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=200",
        "-master.electionTimeout=1s",
        "-master.telemetry=false",
    ]
    return [
        weed,
        "server",
        f"-dir={folder / 'data'}",
        f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=64",
        *fixed,
        *chosen,
    ]


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")
