"""The launcher: a process that has imported Prefect and the core, and forks a copy of itself for each flow run.

It runs no flow itself, so it has one thread, which it checks before the first fork, and no GPU context: forks are safe.
"""

import ctypes
import gc
import importlib
import json
import mimetypes
import os
import re
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prefect.context import refresh_global_settings_context

from lipsync_core.errors import LipSyncError
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.memory import give_free_memory_back, give_memory_back
from lipsync_core.models.store import ModelStore
from lipsync_core.threads import blas_libraries
from lipsync_core.workspace import Workspace
from lipsync_service.settings import load_settings
from lipsync_service.storage import s3
from lipsync_service.worker.engine import trim_engine
from lipsync_service.worker.forked_run import ForkedRun, run_to_its_end
from lipsync_service.worker.job_folders import remove_abandoned, remove_folders
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
    "flows.lipsync_segment",
    "flows.lipsync_bulk",
    "flows.lipsync_gc",
    "lipsync_core.pipeline",
    "lipsync_core.face.mediapipe",
    "lipsync_core.generators.viseme.generator",
    "lipsync_core.generators.viseme.painter",
    "lipsync_core.compat.painter",
    "anyio._backends._asyncio",
    "prefect.utilities.visualization",
    "psycopg",
    "numpy.ma",
    "numpy.fft",
    "numpy.random",
    "rich._emoji_codes",
    "encodings.idna",
    "av.subtitles.stream",
)
_OUTPUTS = 2
END_S = 10.0  # how long a run that is told to end may take, where nobody waits for it
#: The same where somebody waits: a cancelled job ends within five seconds, whatever its threads wait for.
CANCEL_S = 4.0
_SETTING = re.compile("PREFECT_(?!_)")  # the names with two underscores are about one run
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Launcher:
    """Forks a run for each request, passes signals on to it and reports its exit status."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, socket.socket] = {}  # a forked run's process id -> the command that asked for it
        self._wakeup = socket.socketpair()
        self._ending: dict[int, float] = {}  # a run without its command -> the time.monotonic() at which it is killed
        self._settings: dict[str, str] | None = None  # the variables of Prefect's settings as this process has them

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
        run = replace(run, has_settings=self._take_settings(run.environment))
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

    def _take_settings(self, environment: Mapping[str, str]) -> bool:
        """Take Prefect's settings from a run's environment before its fork; returns whether they are valid.

        The runs of a worker have the same ones. Reading them costs a fork 37 ms and a copy of 9 MB of pages.
        """
        wanted = {name: value for name, value in environment.items() if _SETTING.match(name)}
        if wanted != self._settings:
            for name in filter(_SETTING.match, list(os.environ)):
                del os.environ[name]
            os.environ.update(wanted)
            try:
                refresh_global_settings_context()
            except ValueError:  # of pydantic; the run itself meets it again, and says it in its own log
                self._settings = None
                return False
            self._settings = wanted
        return True

    def _leave(self) -> None:
        """In the forked process: reset the launcher's signal handlers and close its sockets."""
        os.setpgid(0, 0)
        # Long work that nobody waits for by the millisecond: it yields to what answers requests, and its threads are
        # interrupted less often (1 to 2 % of the CPU of two runs on two cores).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
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
            if number[0] == signal.SIGTERM:
                self._ending.setdefault(pid, time.monotonic() + CANCEL_S)
            os.kill(pid, number[0])
            return
        self._selector.unregister(self._connections[pid])
        self._ending.setdefault(pid, time.monotonic() + END_S)
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
            remove_folders(pid)  # it may have been killed
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
    blas_libraries()
    mimetypes.init()
    with suppress(LipSyncError):  # each run reads them anew, and says what is wrong
        load_settings()  # pydantic prepares 20 ms for the first
    _open_models_beforehand()
    trim_engine()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise RuntimeError(f"there are {threads} threads after the imports: a fork would copy only one of them")
    gc.collect()
    give_free_memory_back()
    gc.freeze()  # otherwise a copy's garbage collector would touch, and thereby copy, every page


def _open_models_beforehand() -> None:
    """Open the models of every job: the forks share the pages.

    The face model is dropped again, because only its runtime takes time to load (50 ms). The speech encoder's 24 MB of
    weights stay. The files of others are read, so that their sums are known.
    """
    store = ModelStore(Workspace.default().models)
    for entry in store.entries:
        with suppress(LipSyncError):
            store.verify(entry.name)
    with suppress(LipSyncError):  # the runs that need a model say that it is missing
        MediapipeTracker(store)
    with suppress(LipSyncError):
        VisemeGenerator.open(store)


def main() -> None:
    """Run until the process is told to stop."""
    path = Path(sys.argv[1])
    remove_abandoned()
    give_memory_back()  # the forks inherit it, and have a dozen threads each
    _preload()
    run_to_its_end(Launcher(listen(path)).serve())


if __name__ == "__main__":
    main()
