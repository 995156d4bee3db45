"""The launcher: a process that has imported Prefect and the core, and forks a copy of itself for each flow run.

It runs no flow itself, so it has one thread, which it checks before the first fork, and no GPU context: forks are safe.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prefect.context import refresh_global_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from lipsync_core.audio import phones
from lipsync_core.memory import give_memory_back
from lipsync_service.storage import s3
from lipsync_service.worker.engine import run_engine, trim_engine
from lipsync_service.worker.launch import LENGTH, STATUS

#: Imported before the first run: Prefect's engine, the flows with all their imports, and the modules they import late,
#: as far as every machine has them and they start no thread (the networks' runtimes may).
_PRELOADED = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.deployments.steps.pull",
    "prefect.client.orchestration",
    "flows.lipsync",
    "flows.lipsync_gpu",
    "flows.lipsync_bulk",
    "lipsync_core.pipeline",
    "lipsync_core.face.mediapipe",
    "lipsync_core.generators.viseme.generator",
    "lipsync_core.generators.viseme.painter",
    "lipsync_core.compat.painter",
    "anyio._backends._asyncio",
    "prefect.utilities.visualization",
    "psycopg",
    "numpy.ma",
    "numpy.random",
    "rich._emoji_codes",
)
_OUTPUTS = 2
LAST_LINES_S = 5.0  # how long a run that is told to end may take to send the last lines of its log
END_S = 10.0  # how long such a run may take in all, where nobody waits for it
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class ForkedRun:
    """A flow run in a forked process, with the environment, folder and outputs of the command that asked for it."""

    environment: dict[str, str]
    folder: str
    outputs: tuple[int, int]  # descriptors

    def run_engine(self) -> None:
        """Take over the environment, folder and outputs, and run Prefect's engine in this process."""
        for target, source in enumerate(self.outputs, 1):
            os.dup2(source, target)
            os.close(source)
        os.environ.clear()
        os.environ.update(self.environment)
        refresh_global_settings_context()  # until then Prefect's settings are those of the launcher
        os.chdir(self.folder)
        run_engine()


class Launcher:
    """Forks a run for each request, passes signals on to it and reports its exit status."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, socket.socket] = {}  # a forked run's process id -> the command that asked for it
        self._wakeup = socket.socketpair()
        self._ending: dict[int, float] = {}  # a run without its command -> the time.monotonic() at which it is killed

    def serve(self) -> ForkedRun:
        """Fork a run for each request; returns in the forked process only."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup[1].setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._until_next_kill_s()):
                if key.fileobj is self._wakeup[0]:
                    self._wakeup[0].recv(4096)
                    self._reap()
                elif key.fileobj is self._listener:
                    run = self._accept()
                    if run is not None:
                        return run
                else:
                    self._pass_signal(key.data)
            self._kill_overdue()

    def _accept(self) -> ForkedRun | None:
        """Fork a run for the next request; the run in the forked process, None in the launcher."""
        connection, _ = self._listener.accept()
        try:
            run = _read_request(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        launcher = os.getpid()
        pid = os.fork()
        if pid == 0:
            _end_with(launcher)
            self._leave()
            connection.close()
            return run
        for output in run.outputs:
            os.close(output)
        self._connections[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _leave(self) -> None:
        """In the forked process: reset the launcher's signal handlers and close its sockets."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        self._selector.close()
        for end in (self._listener, *self._wakeup, *self._connections.values()):
            end.close()

    def _pass_signal(self, pid: int) -> None:
        """Pass a signal on to the forked run `pid`; end the run if the command that asked for it has ended."""
        if pid not in self._connections:  # reaped since the selector's last look
            return
        try:
            number = self._connections[pid].recv(1)
        except OSError:
            number = b""
        if number:
            os.kill(pid, number[0])
            return
        self._selector.unregister(self._connections[pid])
        self._ending[pid] = time.monotonic() + END_S
        os.kill(pid, signal.SIGTERM)  # it can still report that it ends

    def _until_next_kill_s(self) -> float | None:
        """The time until a run that was told to end is killed, 0 at least; None where there is no such run."""
        return max(0.0, min(self._ending.values()) - time.monotonic()) if self._ending else None

    def _kill_overdue(self) -> None:
        for pid in [pid for pid, end_s in self._ending.items() if time.monotonic() >= end_s]:
            del self._ending[pid]
            os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._connections):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            connection = self._connections.pop(pid)
            self._ending.pop(pid, None)
            with suppress(KeyError):
                self._selector.unregister(connection)
            with suppress(OSError):  # the command has ended
                connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            connection.close()


def _end_with(launcher: int) -> None:
    """Have the kernel end this process when the launcher ends: nobody else can pass signals on to it, or report it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # it has ended before that
        os._exit(1)


def _read_request(connection: socket.socket) -> ForkedRun:
    head, outputs, _, _ = socket.recv_fds(connection, LENGTH.size, _OUTPUTS)
    if len(head) != LENGTH.size or len(outputs) != _OUTPUTS:
        raise ValueError("the request is incomplete")
    (length,) = LENGTH.unpack(head)
    request = json.loads(connection.recv(length, socket.MSG_WAITALL))
    return ForkedRun(request["environment"], request["folder"], (outputs[0], outputs[1]))


def listen(path: Path) -> socket.socket:
    """A socket at `path` that takes requests for runs from this user only."""
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    folder = Path.cwd()
    os.chdir(path.parent)  # names longer than 107 bytes are refused
    try:
        old_mask = os.umask(0o177)  # for this user only: a program that connects can run code
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
    phones.open_beforehand()
    trim_engine()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"there are {threads} threads after the imports: a fork would copy only one of them")
    gc.collect()
    gc.freeze()  # otherwise a copy's garbage collector would touch, and thereby copy, every page


def run_to_its_end(run: ForkedRun) -> None:
    """Do the run, and end the process as multiprocessing ends its forks.

    The interpreter's own end would free each object of the launcher, and thereby copy its pages: 45 MB.
    """
    status: object = 0
    signal.signal(signal.SIGTERM, _end_by)  # Prefect's engine calls it, after its own handler
    try:
        run.run_engine()
    except SystemExit as exc:  # any other exception ends the process as the interpreter does
        status = exc.code or 0
    vars(threading)["_shutdown"]()  # waits for the threads that are no daemons
    atexit._run_exitfuncs()  # among them those that send the last lines of the run's log
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the worker that read them has ended
            stream.flush()
    os._exit(status if isinstance(status, int) else 1)


def _end_by(number: int, _frame: object) -> None:
    """End the process by the signal `number`, with the last lines of the run's log and its last events sent.

    A thread of its own sends them: this one may hold a lock that the sending needs, since the signal came at any time.
    """
    signal.signal(number, signal.SIG_DFL)  # a second signal does not wait
    sending = threading.Thread(target=_send_the_rest, daemon=True)
    sending.start()
    sending.join(LAST_LINES_S)
    os.kill(os.getpid(), number)


def _send_the_rest() -> None:
    for service in (APILogWorker, EventsWorker):
        service.drain_all()


def main() -> None:
    """Run until the process is told to stop."""
    path = Path(sys.argv[1])
    give_memory_back()  # the forks inherit it, and have a dozen threads each
    _preload()
    run_to_its_end(Launcher(listen(path)).serve())


if __name__ == "__main__":
    main()
