"""A forked run: it becomes Prefect's engine, and ends with its last lines sent and the launcher's pages untouched."""

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from prefect.context import refresh_global_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from lipsync_core.isolation.room import prepared_room
from lipsync_service.worker.engine import run_engine
from lipsync_service.worker.run_processes import name_process

_RUN_ID = "PREFECT__FLOW_RUN_ID"
#: In which a run that is told to end sends the last lines of its log, before the launcher kills it.
LAST_LINES_S = 3.0


@dataclass(frozen=True, slots=True)
class ForkedRun:
    """A flow run in a forked process, with the environment, folder and outputs of the command that asked for it."""

    environment: dict[str, str]
    folder: str
    outputs: tuple[int, int]  # descriptors
    has_settings: bool = False  # Prefect's settings of this process are those of the environment

    def run_engine(self) -> None:
        """Take over the environment, folder and outputs, and run Prefect's engine in this process."""
        for target, source in enumerate(self.outputs, 1):
            os.dup2(source, target)
            os.close(source)
        with prepared_room():
            os.environ.clear()
            os.environ.update(self.environment)
            with suppress(KeyError, ValueError, OSError):  # a process without its run's name is only not vouched for
                name_process(UUID(self.environment[_RUN_ID]))
            if not self.has_settings:
                refresh_global_settings_context()
            os.chdir(self.folder)
            run_engine()


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
