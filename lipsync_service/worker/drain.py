"""Lets a worker that is told to stop end the runs that it has begun.

Prefect's worker (3.8.8) ends the processes of its runs with itself, and says so to nobody: a run stays `Running` until
its silence is noticed, and begins anew. So a worker that is told to stop is held first, by SIGSTOP: it takes no new
run, and those that it has begun go on, for they are processes of their own.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)
_ASKS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.5


def supervise(command: list[str], limit_s: float) -> int:
    """Run the worker `command` until it ends, or is told to stop and its runs have ended or `limit_s` seconds gone by.

    Whoever asks a second time waits no longer. Takes up orphans' ends, as the first process of a container must. To be
    called from the main thread, for the process's last act. Returns the exit status to end with.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS)  # they wait until they are looked for
    worker = subprocess.Popen(command, preexec_fn=_hear_signals)  # noqa: S603 - this package's own command
    status = _status_unless(worker.pid, lambda is_asked: is_asked)
    if status is None:
        status = _drained(worker.pid, limit_s)
    if status is None:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGCONT)
        status = _status_unless(worker.pid, lambda _: False) or 0
    return status if status >= 0 else 128 - status


def _drained(pid: int, limit_s: float) -> int | None:
    """Hold the worker until its runs have ended or may not go on; its status where it ended all the same."""
    os.kill(pid, signal.SIGSTOP)
    end_s = time.monotonic() + limit_s
    _log.info("told to stop: %d runs go on for at most %.0f s, and no new one begins", _run_count(pid), limit_s)
    status = _status_unless(pid, lambda is_asked: is_asked or time.monotonic() >= end_s or not _run_count(pid))
    left = _run_count(pid)
    if left:
        _log.warning("%d runs are cut off, and will begin anew", left)
    return status


def _status_unless(pid: int, is_over: Callable[[bool], bool]) -> int | None:
    """How process `pid` ended, negative for a signal; None once `is_over`, told whether somebody asked to stop."""
    while (status := _reaped(pid)) is None:
        if is_over(signal.sigtimedwait(_ASKS, _POLL_S) is not None):
            return None
    return status


def _reaped(pid: int) -> int | None:
    """Take up the end of every child that has ended; how `pid` did, where it is one of them."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return None
        if child == pid:
            return os.waitstatus_to_exitcode(status)


def _run_count(pid: int) -> int:
    """How many processes that the worker started are at work."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        count += int(parent) == pid and state != "Z"
    return count


def _hear_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKS)
