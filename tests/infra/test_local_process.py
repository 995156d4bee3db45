"""Processes of the local stack: started once, recognised later, and no other process is ever ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.local.process import Service, ServiceFolder, StackError
from lipsync_core.errors import OptionError

# Runs until it is told to stop, and writes a file when it is ready; with "deaf" it ignores a request to stop.
_PROGRAM = """
import pathlib, signal, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""

# Starts the service from a process of its own, as the command does, and ends.
_STARTER = """
import json, sys
from pathlib import Path
from infra.local.process import Service, ServiceFolder
root = Path(sys.argv[1])
ready = root / "ready"
command = [sys.executable, "-c", sys.argv[2], str(ready), *sys.argv[3:]]
folder = ServiceFolder(root / "run", root / "log")
print(folder.start(Service("sleeper", command, {}, ready.exists), root))
"""


def start(root: Path, *words: str, program: str = _PROGRAM) -> bool:
    """Start the service; returns whether it was not running."""
    command = [sys.executable, "-c", _STARTER, str(root), program, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip() == "True"


@pytest.fixture
def folder(tmp_path: Path) -> ServiceFolder:
    return ServiceFolder(tmp_path / "run", tmp_path / "log")


def pid_of(folder: ServiceFolder) -> int:
    return int(json.loads((folder.runs / "sleeper.json").read_text())["pid"])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_service_is_started_once_and_stopped_once(tmp_path: Path, folder: ServiceFolder) -> None:
    assert start(tmp_path)
    pid = pid_of(folder)
    assert not start(tmp_path)
    assert pid_of(folder) == pid
    assert folder.is_running("sleeper")
    assert folder.stop("sleeper")
    assert not folder.is_running("sleeper")
    assert not folder.stop("sleeper")


# A worker that has one run, and counts while it works.
_WORKER = """
import pathlib, subprocess, sys, time
run = subprocess.Popen(["sleep", sys.argv[2]])
pathlib.Path(sys.argv[1]).touch()
with open(sys.argv[1], "a") as ticks:
    while True:
        ticks.write("x")
        ticks.flush()
        time.sleep(0.01)
        run.poll()
"""


def works(ticks: Path) -> bool:
    size = ticks.stat().st_size
    time.sleep(0.5)
    return ticks.stat().st_size > size


def test_a_drained_worker_takes_nothing_until_its_runs_have_ended(tmp_path: Path, folder: ServiceFolder) -> None:
    assert start(tmp_path, "2", program=_WORKER)
    ticks = tmp_path / "ready"
    said, has_worked = [], []

    def say(text: str) -> None:
        said.append(text)
        has_worked.append(works(ticks))

    folder.drain("sleeper", 60, say)
    assert said == ["sleeper ends with its 1 running job"] and has_worked == [False]
    assert works(ticks)  # it can end in its own way
    assert folder.stop("sleeper")


def test_a_worker_works_on_when_somebody_does_not_wait_for_its_end(tmp_path: Path, folder: ServiceFolder) -> None:
    assert start(tmp_path, "20", program=_WORKER)

    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.drain("sleeper", 60, interrupt)
    assert works(tmp_path / "ready")
    folder.stop("sleeper")


def test_a_service_is_ended_by_force_when_it_does_not_listen(
    tmp_path: Path, folder: ServiceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path, "deaf")
    hours = (3600.0 * hour for hour in count())  # one more at each look, so that all patience ends at once
    monkeypatch.setattr("infra.local.process.time", SimpleNamespace(monotonic=hours.__next__, sleep=time.sleep))
    assert folder.stop("sleeper")
    deadline = time.monotonic() + 60
    while folder.is_running("sleeper") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.is_running("sleeper")


def test_another_process_with_the_recorded_number_is_not_ended(folder: ServiceFolder) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        folder.runs.mkdir()
        record = {"pid": bystander.pid, "started": "1"}  # an earlier process had this id
        (folder.runs / "sleeper.json").write_text(json.dumps(record))
        assert not folder.is_running("sleeper")
        assert not folder.stop("sleeper")
        assert is_alive(bystander.pid)
        assert bystander.poll() is None
    finally:
        bystander.send_signal(signal.SIGKILL)
        bystander.wait()


def test_starting_fails_with_the_end_of_its_log_when_a_service_ends_at_once(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path / "run", tmp_path / "log")
    command = [sys.executable, "-c", "import sys; sys.exit('no port left')"]
    with pytest.raises(StackError, match=r"^short ended at once: no port left; see .*short\.log$") as caught:
        folder.start(Service("short", command, {}, lambda: False), tmp_path)
    assert (caught.value.code, caught.value.exit_status) == ("SERVICE_UNAVAILABLE", 75)


def test_starting_fails_when_another_program_has_the_port(tmp_path: Path, folder: ServiceFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=f"port {port}"):
            folder.start(Service("late", ["true"], {}, lambda: True, port=port), tmp_path)
    assert not folder.is_running("late")


def test_what_is_started_in_the_background_hears_sigint(folder: ServiceFolder, tmp_path: Path) -> None:
    deafened = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{_STARTER}"
    subprocess.run([sys.executable, "-c", deafened, str(tmp_path), _PROGRAM], timeout=60, check=True)
    status = Path(f"/proc/{pid_of(folder)}/status").read_text()
    ignored = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))
    folder.stop("sleeper")
    assert not ignored & 1 << (signal.SIGINT - 1)
