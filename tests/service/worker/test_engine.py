"""Prefect's engine without its needless parts; another version of Prefect that lacks their names is noticed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

import prefect.flows
from prefect import flow_engine, results, task_engine
from prefect.client import orchestration
from prefect.client.schemas.objects import Flow, FlowRun, TaskRun, WorkPool, WorkQueue
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import related as prefects_related
from prefect.events import worker as events_worker
from prefect.events.schemas.events import RelatedResource

from flows.lipsync import lipsync
from lipsync_service.worker import engine

TRIMMED = """
import threading, time, uuid
from types import SimpleNamespace
from prefect import flow_engine
from lipsync_service.worker.engine import trim_engine
trim_engine()
state = SimpleNamespace(is_final=lambda: False)
run = SimpleNamespace(
    heartbeat_seconds=30, flow_run=SimpleNamespace(state=state), logger=SimpleNamespace(debug=lambda *_, **__: None),
    _build_heartbeat_event_template=lambda: ({}, []), _emit_flow_run_heartbeat=lambda *_: print("heartbeat"),
)
with flow_engine.observe_flow_run_suspension(uuid.uuid4(), None):
    print(threading.active_count(), "thread")
with flow_engine._send_heartbeats(run):
    time.sleep(0.2)
print(threading.active_count(), "threads")
"""


def test_a_run_listens_for_no_suspension_and_its_end_does_not_wait_for_the_heartbeats() -> None:
    done = subprocess.run([sys.executable, "-c", TRIMMED], capture_output=True, text=True, check=True)
    # The second thread is that of the heartbeats, which still sleeps: nobody has waited for it.
    assert done.stdout.split("\n")[:3] == ["1 thread", "heartbeat", "2 threads"]


CERTIFICATES = """
import ssl
read = []
load = ssl.create_default_context
ssl.create_default_context = lambda *names, **options: (read.append(options), load(*names, **options))[1]
from prefect.client.orchestration import get_client
from lipsync_service.worker.engine import trim_engine
trim_engine()
by_launcher = len(read)
for is_sync in (True, False):
    context = get_client(sync_client=is_sync)._client._transport._pool._ssl_context
    print(len(read) - by_launcher, context.verify_mode.name, context.check_hostname)
"""


def test_the_clients_of_a_run_share_the_certificates_that_the_launcher_has_read() -> None:
    environment = {**os.environ, "PREFECT_API_URL": "https://127.0.0.1:9/api"}
    command = [sys.executable, "-c", CERTIFICATES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["0 CERT_REQUIRED True"] * 2


MUTE = """
import os, sys
from rich.console import Console
from lipsync_service.worker.engine import trim_engine
trim_engine()
end, pipe = os.pipe()
os.close(end)
try:
    Console(file=open(pipe, "w", buffering=1)).print("a line")
except BaseException as exc:
    print(type(exc).__name__, flush=True)
else:
    print("goes on", flush=True)
os._exit(0)
"""


def test_a_run_goes_on_when_nobody_reads_its_output() -> None:
    done = subprocess.run([sys.executable, "-c", MUTE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "goes on"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (flow_engine, "observe_flow_run_suspension"),
        (orchestration, "ssl"),
        (events_worker, "related_resources_from_run_context"),
        (results, "_read_server_default_result_storage_block_id"),
        (task_engine, "emit_task_run_state_change_event"),
    ],
)
def test_the_engine_fails_to_be_trimmed_when_prefect_has_no_such_part(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, name)
    with pytest.raises(RuntimeError, match=f"has no {name}"):
        engine.trim_engine()


@pytest.mark.parametrize("name", engine.ENTRYPOINTS)
def test_each_flow_is_found_without_its_deployment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_ENTRYPOINT", engine.ENTRYPOINTS[name])
    flow: prefect.flows.Flow[..., object] = flow_engine.load_flow(None)  # type: ignore[arg-type]  # it asks no server
    assert flow.name == name


STORAGE = """
import httpx
from lipsync_service.worker.engine import trim_engine
trim_engine()
asked = []
httpx.Client.send = lambda *_, **__: asked.append(1)
from prefect.results import get_default_result_storage
print(type(get_default_result_storage(_sync=True)).__name__, len(asked))
"""


def test_a_run_does_not_ask_where_the_server_would_keep_results(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(tmp_path)}
    command = [sys.executable, "-c", STORAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "LocalFileSystem 0\n"


class Server:
    """All that Prefect's own function asks the server for, and the number of its questions."""

    def __init__(self, run: FlowRun) -> None:
        self.asked = 0
        self._run = run

    async def read_flow(self, key: UUID) -> Flow:
        self.asked += 1
        return Flow(id=key, name=lipsync.name)

    async def read_deployment(self, key: UUID) -> DeploymentResponse:
        self.asked += 1
        return DeploymentResponse(id=key, name="a deployment", flow_id=self._run.flow_id)

    async def read_work_queue(self, key: UUID) -> WorkQueue:
        self.asked += 1
        return WorkQueue(id=key, name=self._run.work_queue_name or "", work_pool_id=uuid4())

    async def read_work_pool(self, name: str) -> WorkPool:
        self.asked += 1
        return WorkPool(id=self._run.work_pool_id, name=name, type="process")


def a_run(**fields: Any) -> FlowRun:
    of_a_worker = {
        "deployment_id": uuid4(),
        "work_queue_id": uuid4(),
        "work_queue_name": "interactive",
        "work_pool_id": uuid4(),
        "work_pool_name": "lipsync-cpu",
    }
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="a run", tags=["shot", "bulk"], **(of_a_worker | fields))


def a_task() -> TaskRun:
    return TaskRun(id=uuid4(), name="encode", task_key="encode", dynamic_key="0", tags=["shot", "cpu"])


@contextmanager
def inside(run: FlowRun, task: TaskRun | None) -> Iterator[None]:
    """The context in which Prefect's engine runs a flow, or one of its tasks."""
    with ExitStack() as stack:
        stack.enter_context(FlowRunContext.model_construct(flow_run=run, flow=lipsync))
        if task is not None:
            stack.enter_context(TaskRunContext.model_construct(task_run=task))
        yield


def labels(resources: list[RelatedResource]) -> list[dict[str, str]]:
    """What tells the resources; not the deployment's name."""
    found = [dict(resource.root) for resource in resources]
    for each in found:
        if each["prefect.resource.role"] == "deployment":
            each.pop("prefect.resource.name", None)
    return found


OF_TASKS = {"flow-run", "task-run", "tag"}  # what the event of a task names


@pytest.mark.parametrize("task", [a_task(), None], ids=["task", "flow"])
@pytest.mark.parametrize(
    "fields",
    [{}, {"deployment_id": None}, {"work_queue_id": None, "work_pool_id": None, "work_pool_name": None}],
    ids=["deployed", "called", "pool-less"],
)
@pytest.mark.parametrize("excluded", ["", "flow-run", "task-run", "tag.shot"])
def test_an_event_names_what_prefects_own_would_and_the_server_is_not_asked(
    excluded: str, fields: dict[str, None], task: TaskRun | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefects_related, "RESOURCE_CACHE", {})
    run = a_run(**fields)
    ids = {"flow-run": run.id, "task-run": task and task.id}
    exclude = {f"prefect.{excluded}.{ids[excluded]}" if excluded in ids else f"prefect.{excluded}"}
    server = Server(run)
    with inside(run, task):
        own = asyncio.run(prefects_related.related_resources_from_run_context(server, exclude))  # type: ignore[arg-type]
        asked = server.asked
        ours = asyncio.run(engine.related_resources(server, exclude))
    kept = labels(own) if task is None else [each for each in labels(own) if each["prefect.resource.role"] in OF_TASKS]
    assert labels(ours) == kept
    assert asked > 0 and server.asked == asked


def test_an_event_outside_of_a_run_names_nothing() -> None:
    assert asyncio.run(engine.related_resources(Server(a_run()))) == []


PENDING = """
from prefect import flow, task, task_engine
from lipsync_service.worker.engine import trim_engine
told = []
def tell(task_run, initial_state, validated_state, follows=None):
    told.append((validated_state.name, follows))
    return validated_state.name
task_engine.emit_task_run_state_change_event = tell
trim_engine()
task(lambda: 1, name="one", retries=1)()
print(told)
"""


def test_a_task_is_told_of_from_running_on(tmp_path: Path) -> None:
    """No server is there; without an address Prefect would start one, which takes longer than all else here."""
    nowhere = {
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    environment = os.environ | nowhere
    command = [sys.executable, "-c", PENDING]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[('Running', None), ('Completed', 'Running')]"
