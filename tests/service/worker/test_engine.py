"""Prefect's engine without its four needless parts; another version of Prefect that lacks their names is noticed."""

import os
import subprocess
import sys
from types import ModuleType

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect import flow_engine
from prefect.client import orchestration
from prefect.flows import Flow

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


@pytest.mark.parametrize(("module", "name"), [(flow_engine, "observe_flow_run_suspension"), (orchestration, "ssl")])
def test_the_engine_fails_to_be_trimmed_when_prefect_has_no_such_part(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, name)
    with pytest.raises(RuntimeError, match=f"has no {name}"):
        engine.trim_engine()


@pytest.mark.parametrize("name", engine.ENTRYPOINTS)
def test_each_flow_is_found_without_its_deployment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_ENTRYPOINT", engine.ENTRYPOINTS[name])
    flow: Flow[..., object] = flow_engine.load_flow(None)  # type: ignore[arg-type]  # it asks no server
    assert flow.name == name
