"""Starts and ends a real Triton server for tests and benchmarks, and reads its own account of its work."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.model_server.wheel import Wheel, found_wheel

LOOPBACK = "127.0.0.1"
_PATIENCE_S = 60.0
_POLL_S = 0.05
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2)
_SHARED_MEMORY = Path("/dev/shm")
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the server counted for one model since it was loaded."""

    requests: int  # that it answered
    frames: int  # of all these
    executions: int  # runs of the network
    batches: Mapping[int, int]  # executions, by their number of frames

    def since(self, earlier: "Statistics") -> "Statistics":
        """What came after `earlier`."""
        batches = {size: count - earlier.batches.get(size, 0) for size, count in self.batches.items()}
        new = MappingProxyType({size: count for size, count in batches.items() if count})
        return Statistics(
            self.requests - earlier.requests, self.frames - earlier.frames, self.executions - earlier.executions, new
        )

    @property
    def requests_a_batch(self) -> float:
        """The mean number of requests in one run of the network; 0 where it did not run."""
        return self.requests / self.executions if self.executions else 0.0


class TritonServer:
    """One server on ports of its own, which it keeps over restarts."""

    def __init__(self, repository: Path, folder: Path, wheel: Wheel, options: tuple[str, ...] = ()) -> None:
        """Prepare a server of the models in `repository`; its log and its backends lie in `folder`."""
        self.repository = repository
        self.log = folder / "triton.log"
        self.grpc_port, self.http_port, self.metrics_port = free_ports(3)
        self._options = options
        self._wheel = wheel
        self._regions = f"lipsync-{uuid4().hex[:12]}-"
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[int, psutil.Process] = {}
        self._backends = folder / "backends"
        if not self._backends.exists():
            wheel.backends(self._backends)

    @property
    def url(self) -> str:
        """The value of `LIPSYNC_MODEL_SERVER`."""
        return f"grpc://{LOOPBACK}:{self.grpc_port}"

    def start(self) -> None:
        """Start it, and wait until it takes requests for all models."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._wheel.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the server says that it is ready; fails if it ends before that."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.is_ready():
            code = self._running.poll()
            if code is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Triton's server is not ready, status {code}:\n{self.log.read_text()[-3000:]}")
            time.sleep(_POLL_S)
        self.processes()

    def is_ready(self) -> bool:
        """Whether `/v2/health/ready` says so; it also does while a stub is dead."""
        try:
            return httpx.get(f"{self._http}/v2/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Have it end in good order: requests that it has begun are answered."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Stop the server's own process, which then answers nothing and keeps its connections."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `suspend`."""
        self._running.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all that is left of it, whatever the tests did to it."""
        self.processes()
        for process in self._known.values():
            if process.is_running():
                process.kill()
        if self._process is not None:
            self._process.wait(_PATIENCE_S)
        for region in _SHARED_MEMORY.glob(f"{self._regions}*"):
            region.unlink(missing_ok=True)  # a killed server leaves them

    def reload(self, model: str) -> None:
        """Load `model` again while the server works, as if its files had changed."""
        file = self.repository / model / "1" / "model.py"
        shutil.copy(file, file.with_suffix(".new")).replace(file)  # Triton loads nothing that is as it was
        httpx.post(f"{self._http}/v2/repository/models/{model}/load", timeout=_PATIENCE_S).raise_for_status()

    def statistics(self, model: str) -> Statistics:
        """The server's statistics of `model`."""
        answer = httpx.get(f"{self._http}/v2/models/{model}/stats", timeout=10).raise_for_status().json()
        counted = answer["model_stats"][0]
        batches = {each["batch_size"]: each["compute_infer"]["count"] for each in counted["batch_stats"]}
        requests = counted["inference_stats"]["success"]["count"]
        frames, executions = counted["inference_count"], counted["execution_count"]
        return Statistics(requests, frames, executions, MappingProxyType(batches))

    def waiting_requests(self, model: str) -> int:
        """The requests in the queue of `model`: those that no run of the network has taken."""
        text = httpx.get(f"http://{LOOPBACK}:{self.metrics_port}/metrics", timeout=10).raise_for_status().text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = families["nv_inference_pending_request_count"].samples
        return int(next(each.value for each in samples if each.labels["model"] == model))

    def processes(self) -> list[psutil.Process]:
        """The server, its stubs and their helpers, those that are alive."""
        if self._process is not None and self._process.poll() is None:
            server = psutil.Process(self._process.pid)
            self._known |= {each.pid: each for each in (server, *server.children(recursive=True))}
        return [each for each in self._known.values() if _is_alive(each)]

    def stubs(self) -> list[psutil.Process]:
        """The processes that each hold a copy of a model."""
        return [each for each in self.processes() if _name(each).startswith(self._wheel.stub.name[:15])]

    def memory_bytes(self) -> int:
        """The proportional set size of the server and its stubs."""
        return sum(each.memory_full_info().pss for each in self.processes())

    def is_listening(self) -> bool:
        """Whether any process takes connections on one of its ports."""
        return any(is_answered(port) for port in (self.grpc_port, self.http_port, self.metrics_port))

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    @property
    def _http(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    def _end(self, number: signal.Signals) -> None:
        self.processes()
        self._running.send_signal(number)
        self._running.wait(_PATIENCE_S)
        psutil.wait_procs(list(self._known.values()), timeout=_PATIENCE_S)

    def _command(self) -> list[str]:
        return [
            str(self._wheel.program),
            f"--model-repository={self.repository}",
            f"--backend-directory={self._backends}",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--exit-timeout-secs=10",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={self.grpc_port}",
            f"--http-address={LOOPBACK}",
            f"--http-port={self.http_port}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
            *self._options,
        ]


@contextmanager
def running_server(repository: Path, folder: Path, options: tuple[str, ...] = ()) -> Iterator[TritonServer]:
    """A server of the models in `repository`; none of its processes is left after the block."""
    wheel = found_wheel()
    if isinstance(wheel, str):
        raise RuntimeError(wheel)
    server = TritonServer(repository, folder, wheel, options)
    try:
        server.start()
        yield server
    finally:
        server.close()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that no program has at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((LOOPBACK, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it ended since the list was made
        return ""


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE  # the server reaps its stubs late
    except psutil.NoSuchProcess:
        return False


def is_answered(port: int) -> bool:
    """Whether a process takes connections on this port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _die_with_parent() -> None:
    """Run in the new process: it is killed when the tests are."""
    _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
