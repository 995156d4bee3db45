"""Lets the runs of a worker finish when the worker is told to stop.

When Prefect's worker (3.8.8) ends, it also ends the processes of its runs, without any report: such a run stays
`Running` until its missing heartbeats are noticed, and then begins again. A worker that is told to stop is therefore
paused first, by SIGSTOP: it takes no new run, and its present runs go on, because they are separate processes.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.5


def supervise(command: list[str], limit_s: float) -> int:
    """Run the worker `command`; returns the exit status for this process.

    After a signal to stop, the worker is ended when its runs have ended or `limit_s` seconds have passed; a second
    signal ends it at once. Also reaps orphans, as the first process of a container must. Call it from the main thread,
    as the last step of the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # they stay pending until `_status_unless` takes them
    worker = subprocess.Popen(command, preexec_fn=_unblock_signals)  # noqa: S603 - this package's own command
    status = _status_unless(worker.pid, lambda is_told_to_stop: is_told_to_stop)
    if status is None:
        status = _drained(worker.pid, limit_s)
    if status is None:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGCONT)
        status = _status_unless(worker.pid, lambda _: False) or 0
    return status if status >= 0 else 128 - status


def _drained(pid: int, limit_s: float) -> int | None:
    """Pause the worker until its runs have ended or their time is over; its exit status if it ends nevertheless."""
    os.kill(pid, signal.SIGSTOP)
    end_s = time.monotonic() + limit_s
    _log.info("told to stop: %d runs go on for at most %.0f s, and no new one begins", run_count(pid), limit_s)
    status = _status_unless(
        pid, lambda is_told_to_stop: is_told_to_stop or time.monotonic() >= end_s or not run_count(pid)
    )
    remaining = run_count(pid)
    if remaining:
        _log.warning("%d runs are cut off, and will begin again", remaining)
    return status


def _status_unless(pid: int, is_over: Callable[[bool], bool]) -> int | None:
    """The exit status of process `pid`, negative for a signal; None as soon as `is_over` holds.

    `is_over` takes whether a signal to stop has come since the last call.
    """
    while (status := _reaped(pid)) is None:
        if is_over(signal.sigtimedwait(_STOP_SIGNALS, _POLL_S) is not None):
            return None
    return status


def _reaped(pid: int) -> int | None:
    """Reap every child that has ended; the exit status of `pid` if it is one of them."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return None
        if child == pid:
            return os.waitstatus_to_exitcode(status)


def run_count(pid: int) -> int:
    """The number of the worker's child processes, its runs, that have not ended."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        count += int(parent) == pid and state != "Z"
    return count


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
