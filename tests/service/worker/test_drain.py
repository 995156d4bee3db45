"""A worker that is told to stop, with real processes: like Prefect's, the stand-in ends its run when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SUPERVISE = (
    "import sys; from lipsync_service.worker.drain import supervise; "
    "sys.exit(supervise(sys.argv[2:], float(sys.argv[1])))"
)
# Counts its polls, and has one run, which writes a file when it ends normally.
WORKER = """
import os, pathlib, signal, subprocess, sys, time
run = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({sys.argv[1]}); open('run-ended', 'w')"])
def stop(*_):
    run.kill()
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("worker").write_text(str(os.getpid()))
for count in range(10_000):
    pathlib.Path("polls").write_text(str(count))
    time.sleep(0.02)
"""


def wait_until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.02)


class Drained:
    """The supervisor in a process of its own, with its worker and the worker's run as descendants."""

    def __init__(self, folder: Path, limit_s: float, run_s: float, worker: str = WORKER) -> None:
        self.folder = folder
        command = [sys.executable, "-c", SUPERVISE, str(limit_s), sys.executable, "-c", worker, str(run_s)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)

    def wait_for_polls(self) -> None:
        wait_until(lambda: self.polls > 0)

    def wait_until_held(self) -> None:
        """Wait until SIGSTOP has paused the worker."""
        stat = Path("/proc", (self.folder / "worker").read_text(), "stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    @property
    def polls(self) -> int:
        path = self.folder / "polls"
        return int(path.read_text() or 0) if path.exists() else 0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@pytest.fixture
def drained(tmp_path: Path) -> Iterator[list[Drained]]:
    """A list for the test's supervisors; each is killed at the end with all its descendants."""
    started: list[Drained] = []
    yield started
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


def test_a_run_comes_to_its_end_and_no_new_one_begins(drained: list[Drained], tmp_path: Path) -> None:
    drained.append(Drained(tmp_path, limit_s=30, run_s=2))
    drained[0].wait_for_polls()
    drained[0].stop()
    drained[0].wait_until_held()
    polls = drained[0].polls
    assert drained[0].process.wait(60) == 3  # the worker's own
    assert (tmp_path / "run-ended").exists()
    assert drained[0].polls <= polls + 1  # one poll as the signal comes


@pytest.mark.parametrize(("limit_s", "asks"), [(0.5, 1), (60, 2)], ids=["time is up", "asked twice"])
def test_a_run_is_cut_off_when_it_may_not_go_on(
    limit_s: float, asks: int, drained: list[Drained], tmp_path: Path
) -> None:
    drained.append(Drained(tmp_path, limit_s, run_s=60))
    drained[0].wait_for_polls()
    drained[0].stop()
    if asks == 2:
        drained[0].wait_until_held()
        drained[0].stop()
    assert drained[0].process.wait(60) == 3
    assert not (tmp_path / "run-ended").exists()


@pytest.mark.parametrize(("worker", "status"), [("exit(5)", 5), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_a_worker_that_ends_by_itself_ends_the_container(
    worker: str, status: int, drained: list[Drained], tmp_path: Path
) -> None:
    drained.append(Drained(tmp_path, limit_s=60, run_s=0, worker=worker))
    assert drained[0].process.wait(60) == status
