"""Faults of a model server and of its callers, which happen while the jobs of `model_server_jobs.py` run."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lipsync_core.generators.wav2lip import SERVED_BATCH
from tests.model_server.callers import MODEL
from tests.model_server.repository import changed_config, held
from tests.model_server.triton import TritonServer

_POLL_S = 0.02
_LIMIT_S = 120.0
_AWAY_S = 3.0  # how long a server stays away
_FULL_S = 10.0  # how long a queue stays full
_CALLER = (
    "import sys; from tests.model_server.callers import ask, clip_of; ask(sys.argv[1], clip_of(1, 64), times=10**6)"
)


class Jobs(Protocol):
    """The jobs during which a fault happens."""

    def start(self) -> None:
        """Send them, and go on."""

    def wait(self) -> None:
        """Wait until all have ended."""


def kill(server: TritonServer, jobs: Jobs) -> None:
    """Kill the server with `kill -9` while it works on requests of jobs, and start it again."""
    with held(server.repository / MODEL):
        jobs.start()
        _wait_until(lambda: server.waiting_requests(MODEL) > 0)  # hence another request is in the network
        server.kill()
    _require_gone(server)
    time.sleep(_AWAY_S)
    server.start()
    jobs.wait()


def restart(server: TritonServer, jobs: Jobs) -> None:
    """Have the server end in good order while it works on requests of jobs, and start it again."""
    with held(server.repository / MODEL):
        jobs.start()
        _wait_until(lambda: server.waiting_requests(MODEL) > 0)
    server.stop()
    _require_gone(server)
    time.sleep(_AWAY_S)
    server.start()
    jobs.wait()


def fill_the_queue(server: TritonServer, jobs: Jobs) -> None:
    """Give the server a queue of one request and batches of one, and let no run of the network end for some time."""
    model = server.repository / MODEL
    whole = (model / "config.pbtxt").read_bytes()
    with changed_config(model) as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 1
        config.max_batch_size = SERVED_BATCH
    _start_again(server)
    with held(model):
        jobs.start()
        _wait_until(lambda: server.waiting_requests(MODEL) > 0)
        time.sleep(_FULL_S)
    jobs.wait()
    (model / "config.pbtxt").write_bytes(whole)
    _start_again(server)


def stall_other_callers(server: TritonServer, jobs: Jobs) -> None:
    """Two other callers with large requests: one stands still and does not take its answer, one dies."""
    command = [sys.executable, "-c", _CALLER, server.url]
    folder = Path(__file__).resolve().parents[1]
    others = [subprocess.Popen(command, cwd=folder, process_group=0) for _ in range(2)]
    try:
        with held(server.repository / MODEL):
            _wait_until(lambda: server.waiting_requests(MODEL) > 0)
            others[0].send_signal(signal.SIGSTOP)
            others[1].kill()
        jobs.start()
        jobs.wait()
    finally:
        for each in others:
            each.kill()
            each.wait()


#: Each lets jobs run, and the fault happen meanwhile. They start servers, which die with the thread that starts them.
FAULTS: Mapping[str, Callable[[TritonServer, Jobs], None]] = MappingProxyType(
    {
        "kill -9 of the server amid requests, away for 3 s": kill,
        "end and restart of the server amid requests, away for 3 s": restart,
        "a queue of one request, full for 10 s": fill_the_queue,
        "another caller frozen, another killed": stall_other_callers,
    }
)


def _start_again(server: TritonServer) -> None:
    server.stop()
    server.start()


def _require_gone(server: TritonServer) -> None:
    if server.processes() or server.is_listening():
        raise RuntimeError(f"the server has ended, and left {server.processes()} or one that holds its port")


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise RuntimeError("no job has asked the server")
        time.sleep(_POLL_S)
