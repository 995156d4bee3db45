"""The end of forked runs: told to end, they send the last lines of their log; without their command, they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_service.worker.launch import connect, send_request
from tests.receiver import Receiver
from tests.web import serving

# A flow under Prefect's own handler of signals, which passes them on to that of the launcher.
RUN = """
import sys, time, uuid
from prefect.logging import get_logger
from prefect.utilities.engine import capture_sigterm
from lipsync_service.worker import forked_run
forked_run.LAST_LINES_S = float(sys.argv[1])
class Run:
    def run_engine(self):
        with capture_sigterm():
            for line in ("the first line", "the last line"):
                names = {"flow_run_id": str(uuid.uuid4()), "flow_run_name": "a run", "flow_name": "a flow"}
                get_logger("prefect.flow_runs").info(line, extra=names)
            print("at work", flush=True)
            time.sleep(60)
forked_run.run_to_its_end(Run())
"""
# A launcher whose runs note that they are told to end; they do so or not, as the argument says.
LAUNCHER = """
import signal, sys, time
from pathlib import Path
from lipsync_service.worker import launcher
path, launcher.END_S, is_stubborn = Path(sys.argv[1]), 1.0, sys.argv[2] == "stubborn"
listener = launcher.listen(path)
print("listens", flush=True)
run = launcher.Launcher(listener).serve()
def end(*_):
    path.with_name("told").touch()
    if not is_stubborn:
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
path.with_name("at-work").touch()
while True:
    time.sleep(0.1)
"""


def wait_until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@contextmanager
def started(script: str, *arguments: object, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has printed its first line; killed at the end of the block where it still runs."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


@contextmanager
def running(receiver: Receiver, limit_s: float = 30.0) -> Iterator["subprocess.Popen[str]"]:
    """A run that has logged two lines to `receiver` and would send them in ten minutes."""
    settings = {
        "PREFECT_API_URL": receiver.url("/api"),
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "600",
    }
    with serving(receiver), started(RUN, limit_s, **settings) as process:
        yield process


def test_a_run_that_is_told_to_end_sends_the_last_lines_of_its_log() -> None:
    receiver = Receiver()
    with running(receiver) as process:
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert "the last line" in "".join(told.body.decode() for told in receiver.told)


def test_a_run_that_is_told_to_end_does_so_when_nobody_takes_its_log() -> None:
    receiver = Receiver()
    receiver.pause_s = 120
    with running(receiver, limit_s=0.5) as process:
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("manner", ["obedient", "stubborn"])
def test_a_run_whose_command_has_ended_is_told_to_end_and_killed_where_it_does_not(manner: str, tmp_path: Path) -> None:
    with started(LAUNCHER, tmp_path / "socket", manner) as launcher:
        with closing(connect(tmp_path / "socket")) as command:
            send_request(command)
            wait_until(tmp_path.joinpath("at-work").exists)
            run = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().strip()
        wait_until(tmp_path.joinpath("told").exists)
        wait_until(lambda: not Path("/proc", run).exists())
        assert launcher.poll() is None
