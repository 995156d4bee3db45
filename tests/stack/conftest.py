"""A real service for the tests: PostgreSQL, S3, Prefect's server and both workers, on free ports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psycopg
import pytest

from infra.local.layout import BUCKET, LOOPBACK, Layout
from infra.local.objects import read_keys, s3_client
from lipsync_cli.bench.own_stack import free_first_port
from lipsync_service.names import GPU_POOL
from tests.conftest import Ffmpeg
from tests.receiver import CALLED
from tests.servers import about_to_start

_SOURCE = Path(__file__).resolve().parents[2]
_ENDED_BY_ITSELF = {"COMPLETED", "FAILED"}
_FINAL = _ENDED_BY_ITSELF | {"CRASHED", "CANCELLED"}
_LAST_TASKS = {"upload", "hand over"}  # of a job, and of its part on the GPU pool
_JOB_LIMIT_S = 120
MAX_INPUT_S = 300  # the limit of the tests' service
Json = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """A caller of the service, who puts files, starts jobs over REST, reads runs and gets files."""

    layout: Layout
    api: httpx.Client
    s3: Any
    variables: Mapping[str, str]  # that all its parts see

    def put(self, path: Path, key: str) -> str:
        self.s3.upload_file(str(path), BUCKET, key)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str, path: Path) -> Path:
        self.s3.download_file(BUCKET, key, str(path))
        return path

    def presigned(self, method: str, key: str) -> str:
        """An address that permits a GET or PUT of this object without a key."""
        operation = {"GET": "get_object", "PUT": "put_object"}[method]
        return str(self.s3.generate_presigned_url(operation, {"Bucket": BUCKET, "Key": key}, ExpiresIn=600))

    def start(self, request: Json) -> str:
        return self.start_with({"request": request}, "lipsync/lipsync")

    def start_with(self, parameters: Json, deployment: str) -> str:
        found = self.api.get(f"/deployments/name/{deployment}").raise_for_status().json()
        address = f"/deployments/{found['id']}/create_flow_run"
        run = self.api.post(address, json={"parameters": parameters}).raise_for_status().json()
        return str(run["id"])

    def finished(self, run_id: str) -> Json:
        deadline = time.monotonic() + _JOB_LIMIT_S
        while time.monotonic() < deadline:
            run: Json = self.api.get(f"/flow_runs/{run_id}").raise_for_status().json()
            if run["state"]["type"] in _FINAL:
                if run["state"]["type"] in _ENDED_BY_ITSELF:
                    self._wait_for_tasks(run)
                return run
            time.sleep(0.3)
        raise AssertionError(f"the run is {run['state']['name']} after {_JOB_LIMIT_S} s")

    def _wait_for_tasks(self, run: Json) -> None:
        """Wait until the server has written the ends of all tasks: it does so in batches, also after the run's end."""
        last = _LAST_TASKS if run["state"]["name"] == "Completed" and "request" in run["parameters"] else set()
        deadline = time.monotonic() + _JOB_LIMIT_S
        while True:
            tasks = self._tasks(run["id"])
            has_last = not last or last & {task["name"] for task in tasks}
            if has_last and {task["state"]["type"] for task in tasks} <= _FINAL:
                return
            unended = [(task["name"], task["state"]["type"]) for task in tasks]
            assert time.monotonic() < deadline, f"run {run['id']} has ended, and a task of it has not: {unended}"
            time.sleep(0.2)

    def run(self, request: Json) -> Json:
        return self.finished(self.start(request))

    def task_states(self, run_id: str) -> dict[str, str]:
        """State names of a flow run's tasks, by task run name."""
        return {task["name"]: task["state"]["name"] for task in self._tasks(run_id)}

    def children(self, run_id: str) -> list[Json]:
        """The flow runs that a flow run started."""
        return self._filtered("flow_runs", {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}})

    def artifacts(self, run_id: str) -> dict[str, Json]:
        """The artifacts of the run, by key."""
        found = self._filtered("artifacts", {"flow_runs": {"id": {"any_": [run_id]}}})
        return {artifact["key"]: artifact for artifact in found}

    def ledger(self, query: str, run_id: str) -> list[tuple[Any, ...]]:
        """The rows of the ledger that `query` selects for job %s."""
        with self.database("lipsync") as connection:
            return connection.execute(query, [run_id]).fetchall()

    def database(self, name: str) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection to a database of the stack: `lipsync`, the ledger, or `prefect`."""
        socket_folder = (self.layout.postgres / "postmaster.pid").read_text().splitlines()[4]
        return psycopg.connect(host=socket_folder, user="postgres", dbname=name)

    def stack(self, order: str, **variables: str) -> str:
        """Run `up` or `down`, with options, on the very stack that the tests use; parts that start see `variables`."""
        return local_stack(self.layout, order, {**self.variables, **variables})

    def processes(self) -> dict[str, int]:
        """The process ids of all parts, by name."""
        return {path.stem: self.process(path.stem) for path in self.layout.runs.glob("*.json")}

    def process(self, name: str) -> int:
        """The process id of a part of the stack."""
        return int(json.loads((self.layout.runs / f"{name}.json").read_text())["pid"])

    def logs(self, run_id: str, min_level: int = 0) -> str:
        """The lines of the run's log, the oldest first, from `min_level` of the module `logging` on."""
        wanted = {"flow_run_id": {"any_": [run_id]}, "level": {"ge_": min_level}}
        lines = self._filtered("logs", {"logs": wanted, "sort": "TIMESTAMP_ASC"})
        return "\n".join(line["message"] for line in lines)

    def wait_for_log(self, run_id: str, text: str) -> None:
        """Wait until the run's log holds `text`: Prefect sends logs in batches, also after the run's end."""
        deadline = time.monotonic() + _JOB_LIMIT_S
        while text not in self.logs(run_id):
            assert time.monotonic() < deadline, f"the log of run {run_id} holds no {text!r}"
            time.sleep(0.5)

    def count_events(self, wanted: Json) -> int:
        """The number of Prefect's events that `wanted`, a filter of its API, selects."""
        return int(self.api.post("/events/filter", json={"filter": wanted}).raise_for_status().json()["total"])

    def printed(self) -> list[str]:
        """The logs of all parts of the stack."""
        return [path.read_text(errors="replace") for path in self.layout.logs.glob("*.log")]

    def _tasks(self, run_id: str) -> list[Json]:
        return self._filtered("task_runs", {"flow_runs": {"id": {"any_": [run_id]}}})

    def _filtered(self, kind: str, body: Json) -> list[Json]:
        found: list[Json] = self.api.post(f"/{kind}/filter", json=body).raise_for_status().json()
        return found


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, model_store: object) -> Iterator[Service]:
    """The whole local stack, started once for all tests by the command that `make up` runs, and stopped after them."""
    with running_stack(tmp_path_factory.mktemp("stack")) as service:
        yield service


@contextmanager
def running_stack(root: Path, **environment: str) -> Iterator[Service]:
    """A local stack below `root` whose parts all see `environment`; stopped at the end of the block."""
    about_to_start("the service")
    with _reserved_first_port() as first_port:
        layout = Layout(_SOURCE, root, first_port)
        try:
            local_stack(layout, "up", environment)
            keys = read_keys(layout.s3_keys)
            with httpx.Client(base_url=layout.api_url, timeout=30) as api:
                service = Service(layout, api, s3_client(layout, keys), environment)
                yield service
                os.kill(service.process("s3"), signal.SIGKILL)  # nobody reads its data again; it takes 18 s to end
        finally:
            local_stack(layout, "down")


@contextmanager
def _reserved_first_port() -> Iterator[int]:
    """Free neighbouring ports, which no other stack of any tests on this machine gets within the block.

    Without a sign two stacks that start at once could choose the same, since none listens before seconds have passed.
    """
    with socket.socket(socket.AF_UNIX) as sign:
        while True:
            first_port = free_first_port()
            with suppress(OSError):  # another stack has this name
                sign.bind(f"\0lipsync-tests-{first_port}")
                break
        yield first_port


@pytest.fixture(scope="session")
def face(ffmpeg: Ffmpeg, face_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a person, 640 x 360."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    ffmpeg("-i", face_clip, "-t", "2", "-an", "-c:v", "libx264", "-preset", "ultrafast", path)
    return path


@pytest.fixture(scope="session")
def speech(ffmpeg: Ffmpeg, speech_wav: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half of speech."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-i", speech_wav, "-t", "1.5", path)
    return path


def local_stack(layout: Layout, order: str, variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run `python -m infra.local` and return its output."""
    options = ("--root", str(layout.root), "--first-port", str(layout.first_port))
    command = [sys.executable, "-m", "infra.local", *options, *order.split()]
    limits = {
        "LIPSYNC_GPU_POOL": GPU_POOL,  # also on a machine without a GPU, so that the tests use both pools
        "LIPSYNC_MAX_DURATION_S": str(MAX_INPUT_S),
        "LIPSYNC_HTTP_ALLOWED_HOSTS": f"{LOOPBACK}:{layout.s3_port},{CALLED}",  # for the tests of presigned addresses
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "5",  # for the tests of old runs
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "5",
    }
    environment = {**os.environ, **limits, **variables}
    done = subprocess.run(command, cwd=_SOURCE, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
