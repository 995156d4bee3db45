"""Processes that outlive the command that starts them, and that only the stack which started them ends."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.layout import LOOPBACK
from lipsync_core.errors import OptionError
from lipsync_service.errors import ServiceDownError
from lipsync_service.worker.drain import run_count

_POLL_S = 0.1
_PATIENCE_S = 45.0  # for a process to end by itself; SeaweedFS takes 18 s
_STARTED_FIELD = 22 - 3  # field of /proc/PID/stat, counted from the state; see proc(5)


class StackError(ServiceDownError):
    """A part of the local stack did not start; the message names the log."""


@dataclass(frozen=True, slots=True)
class Service:
    """One long-running process of the stack."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    port: int | None = None  # it will listen on this port of the loopback
    patience_s: float = 90.0


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """The folders of the services' process ids and logs."""

    runs: Path
    logs: Path

    def is_running(self, name: str) -> bool:
        """Whether the process that was started as `name` is alive; another process with its id does not count."""
        return self._pid(name) is not None

    def recorded(self) -> list[str]:
        """The names of the processes that were started and not yet stopped."""
        return sorted(path.stem for path in self.runs.glob("*.json"))

    def start(self, service: Service, folder: Path) -> bool:
        """Start the service in `folder` unless it runs, and wait until it is ready; returns whether it was started.

        Raises:
            StackError: the service ended, or was not ready in time.
            OptionError: another program has its port.
        """
        return self.start_all([service], folder) > 0

    def start_all(self, services: Sequence[Service], folder: Path) -> int:
        """Start the services that do not run, side by side, and wait until all are ready; returns how many these were.

        Raises: as `start`.
        """
        launched = {each.name: self._launch(each, folder) for each in services if not self.is_running(each.name)}
        for service in services:
            self._wait_until_ready(service, launched.get(service.name))
        return len(launched)

    def _wait_until_ready(self, service: Service, process: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + service.patience_s
        while not service.is_ready():
            if not self.is_running(service.name):
                if process is not None:
                    process.wait()
                message = f"{service.name} ended at once: {self._last_line(service.name)}"
                raise StackError(message, f"see {self.log_path(service.name)}")
            if time.monotonic() > deadline:
                message = f"{service.name} is not ready after {service.patience_s:g} s"
                raise StackError(message, f"see {self.log_path(service.name)}")
            time.sleep(_POLL_S)

    def drain(self, name: str, limit_s: float, say: Callable[[str], None]) -> None:
        """Have the worker `name` take no more runs, and wait until those that it has have ended, `limit_s` at most."""
        pid = self._pid(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)  # its runs are processes of their own, and go on
        try:
            deadline, told = time.monotonic() + limit_s, 0
            while (runs := run_count(pid)) and time.monotonic() < deadline:
                if runs != told:
                    say(f"{name} ends with its {runs} running job{'s' if runs > 1 else ''}")
                    told = runs
                time.sleep(_POLL_S)
        finally:
            os.kill(pid, signal.SIGCONT)  # also where somebody does not want to wait: it works on

    def stop(self, name: str) -> bool:
        """End the process that was started as `name`, after 45 s by force; returns whether there was one."""
        pid = self._pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE_S
            while self._pid(name) is not None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            if self._pid(name) is not None:
                os.killpg(pid, signal.SIGKILL)  # the process leads a group of its own
        self._record(name).unlink(missing_ok=True)
        return pid is not None

    def _launch(self, service: Service, folder: Path) -> subprocess.Popen[bytes]:
        if service.port is not None:
            require_free(service.port, service.name)
        self.runs.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log_path(service.name).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - the stack's own commands
                list(service.command),
                cwd=folder,
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hear_interrupts,
            )
        record = {"pid": process.pid, "started": _started(process.pid)}
        self._record(service.name).write_text(json.dumps(record), encoding="utf-8")
        return process

    def _pid(self, name: str) -> int | None:
        try:
            record = json.loads(self._record(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_same = record["started"] is not None and _started(record["pid"]) == record["started"]
        return int(record["pid"]) if is_same else None

    def _record(self, name: str) -> Path:
        return self.runs / f"{name}.json"

    def log_path(self, name: str) -> Path:
        """The log of the process `name`."""
        return self.logs / f"{name}.log"

    def _last_line(self, name: str) -> str:
        """The last line of its log that holds anything; of a traceback, it is the error."""
        lines = self.log_path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _hear_interrupts() -> None:
    """Stop ignoring SIGINT in the new process: a shell sets that for all processes of a `make up` in the background.

    Prefect's worker sends itself this signal when it is told to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_taken(port: int) -> bool:
    """Whether a program of this machine listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def require_free(port: int, name: str) -> None:
    """Raise OptionError where a program listens on the port that the service `name` is to have."""
    if is_taken(port):
        message = f"another program listens on port {port}, which {name} needs"
        raise OptionError(message, "stop it, or choose other ports with LIPSYNC_FIRST_PORT")


def _started(pid: int) -> str | None:
    """The start time of the process in clock ticks since boot; None if it has ended, reaped or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the program's name before it may hold any character
    return None if fields[0] in "ZX" else fields[_STARTED_FIELD]
