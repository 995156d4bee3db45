"""A process that has Prefect and the core imported and forks one copy of itself for each flow run.

It only imports, and never works: no thread and no GPU context exists in it, so a fork is safe. That it has one thread
is checked before the first fork.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prefect.context import refresh_global_settings_context

from lipsync_service.storage import s3
from lipsync_service.worker.launch import LENGTH, STATUS

#: Imported before the first run: Prefect's engine, the flows with all that they use, and what they import late.
_PRELOADED = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.deployments.steps.pull",
    "prefect.client.orchestration",
    "flows.lipsync",
    "flows.lipsync_bulk",
    "lipsync_core.pipeline",
)
_OUTPUTS = 2


@dataclass(frozen=True, slots=True)
class Double:
    """What a forked process is to become."""

    environment: dict[str, str]
    folder: str
    outputs: tuple[int, int]  # descriptors

    def become(self) -> None:
        """Take over the place of the process that asked, and run Prefect's engine in it."""
        for target, source in enumerate(self.outputs, 1):
            os.dup2(source, target)
            os.close(source)
        os.environ.clear()
        os.environ.update(self.environment)
        refresh_global_settings_context()  # Prefect's settings are the launcher's own until then
        os.chdir(self.folder)
        sys.argv[:] = ["prefect.engine"]  # which would take the launcher's own argument for a run's id
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


class Launcher:
    """Listens, forks, passes signals on and tells how each double ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._doubles: dict[int, socket.socket] = {}  # process id -> who asked for it
        self._wakeup = socket.socketpair()

    def serve(self) -> Double:
        """Fork for whoever asks; returns in the forked process only, with what it is to become."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup[1].setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakeup[0]:
                    self._wakeup[0].recv(4096)
                    self._reap()
                elif key.fileobj is self._listener:
                    double = self._accept()
                    if double is not None:
                        return double
                else:
                    self._hear(key.data)

    def _accept(self) -> Double | None:
        connection, _ = self._listener.accept()
        try:
            double = _read_request(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._leave()
            connection.close()
            return double
        for output in double.outputs:
            os.close(output)
        self._doubles[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _leave(self) -> None:
        """In the forked process: forget everything of the launcher's."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        self._selector.close()
        for end in (self._listener, *self._wakeup, *self._doubles.values()):
            end.close()

    def _hear(self, pid: int) -> None:
        """A signal to pass on; or the end of who asked, which is the end of its double."""
        try:
            word = self._doubles[pid].recv(1)
        except OSError:
            word = b""
        if word:
            os.kill(pid, word[0])
            return
        self._selector.unregister(self._doubles[pid])
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._doubles):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            connection = self._doubles.pop(pid)
            with suppress(KeyError):
                self._selector.unregister(connection)
            with suppress(OSError):  # nobody asks any more
                connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            connection.close()


def _read_request(connection: socket.socket) -> Double:
    head, outputs, _, _ = socket.recv_fds(connection, LENGTH.size, _OUTPUTS)
    if len(head) != LENGTH.size or len(outputs) != _OUTPUTS:
        raise ValueError("this is no request")
    (length,) = LENGTH.unpack(head)
    request = json.loads(connection.recv(length, socket.MSG_WAITALL))
    return Double(request["environment"], request["folder"], (outputs[0], outputs[1]))


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    folder = Path.cwd()
    os.chdir(path.parent)  # names longer than 107 bytes are refused
    try:
        old_mask = os.umask(0o177)  # this user's alone: whoever connects runs code
        listener.bind(path.name)
        os.umask(old_mask)
    finally:
        os.chdir(folder)
    listener.listen()
    return listener


def _preload() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    s3.preload()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"there are {threads} threads after the imports: a fork would copy one of them alone")
    gc.collect()
    gc.freeze()  # so that the collector of a copy does not touch, and thereby copy, every page


def main() -> None:
    """Run until the process is told to stop."""
    path = Path(sys.argv[1])
    _preload()
    Launcher(_listen(path)).serve().become()


if __name__ == "__main__":
    main()
