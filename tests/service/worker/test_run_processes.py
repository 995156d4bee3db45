"""The processes of runs are found by their names, and seen at work from the outside."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_service.worker.cancelling import CANCELLING_RUNS
from lipsync_service.worker.pool_worker import vouch
from lipsync_service.worker.run_processes import WorkSeen, end_process, process_of, processes_below
from tests.shared_files import ROOT
from tests.waiting import wait_until

_NAMED = """
import sys, uuid
from lipsync_service.worker.run_processes import name_process
name_process(uuid.UUID(sys.argv[1]))
print("named", flush=True)
sys.stdin.readline()
while sys.argv[2] == "busy":
    pass
sys.stdin.readline()
"""


@contextmanager
def named_process(run_id: UUID, work: str = "idle") -> Iterator["subprocess.Popen[bytes]"]:
    """A process with the name of the run; `busy`: it works from the line on that is written to it."""
    command = [sys.executable, "-c", _NAMED, str(run_id), work]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"named\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_a_run_is_found_by_its_process_and_ended_and_another_is_not() -> None:
    run_id, other_id = uuid4(), uuid4()
    with named_process(run_id) as process, named_process(other_id) as other:
        assert (process_of(run_id), process_of(other_id), process_of(uuid4())) == (process.pid, other.pid, None)
        assert end_process(run_id) and not end_process(uuid4())
        assert process.wait(timeout=30) == -signal.SIGKILL and other.poll() is None
    assert process_of(run_id) is None and not end_process(run_id)


def test_a_busy_run_is_seen_at_work_and_one_that_is_paused_or_waits_is_not() -> None:
    busy, idle, gone = uuid4(), uuid4(), uuid4()
    seen = WorkSeen()
    with named_process(busy, "busy") as process, named_process(idle) as waiting:
        wait_until(lambda: is_asleep(process.pid) and is_asleep(waiting.pid))
        seen.at_work([busy, idle, gone])
        tell(process)
        deadline = time.monotonic() + 60
        while busy not in (found := seen.at_work([busy, idle, gone])):
            assert time.monotonic() < deadline
        assert found == {busy}
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid))
        assert seen.at_work([busy, idle, gone]) == set()
        os.kill(process.pid, signal.SIGCONT)
        while seen.at_work([busy]) != {busy}:
            assert time.monotonic() < deadline


class Server:
    """Keeps the events that it is sent."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def request(self, method: str, path: str, json: list[dict[str, Any]]) -> None:
        assert (method, path) == ("POST", "/events")
        assert {each["event"] for each in json} == {"prefect.flow-run.heartbeat"}
        self.runs += [each["resource"]["prefect.resource.id"] for each in json]


@pytest.mark.skipif(sys.platform != "linux", reason="readers need Linux")
def test_a_run_that_waits_for_its_reader_is_seen_at_work(tmp_path: Path) -> None:
    run_id, given = uuid4(), tmp_path / "given.txt"
    given.write_text("given")
    program = f"""
import uuid
from pathlib import Path
from lipsync_core.isolation.room import reading_room
from lipsync_service.worker.run_processes import name_process
from tests.isolation import misdeeds
with reading_room("all"):
    name_process(uuid.UUID({str(run_id)!r}))
    misdeeds.spin(Path({str(given)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until(lambda: process_of(run_id) == process.pid)
        wait_until(lambda: [*names_below(process.pid)][-1:] == ["lipsync-reader"])
        seen = WorkSeen()
        for _ in range(3):
            seen.at_work([run_id])
            wait_until(lambda: seen.at_work([run_id]) == {run_id})
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid))
        assert seen.at_work([run_id]) == set()
    finally:
        process.kill()
        process.wait()


def is_stopped(pid: int) -> bool:
    return state_of(pid) == "T"


def is_asleep(pid: int) -> bool:
    return state_of(pid) == "S"


def state_of(pid: int) -> str:
    """As proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def names_below(pid: int) -> Iterator[str]:
    for each in processes_below(pid):
        with suppress(FileNotFoundError):
            yield Path(f"/proc/{each}/comm").read_text().strip()


def test_a_worker_sends_the_heartbeat_of_a_run_that_is_too_busy_and_not_of_a_paused_one() -> None:
    """The process sends none by itself, as one whose thread for that gets no processor."""
    busy, paused = uuid4(), uuid4()
    server, seen = Server(), WorkSeen()
    client: Any = server
    with named_process(busy, "busy") as process, named_process(paused, "busy") as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(stopped.pid))  # on a busy machine it goes on for a moment
        for run_id in (busy, paused):
            CANCELLING_RUNS.add(run_id, lambda _: None)
        try:
            asyncio.run(vouch(client, seen))
            server.runs.clear()
            tell(process)
            tell(stopped)
            deadline = time.monotonic() + 60
            while not server.runs:
                assert time.monotonic() < deadline
                asyncio.run(vouch(client, seen))
        finally:
            for run_id in (busy, paused):
                CANCELLING_RUNS.remove(run_id)
    assert set(server.runs) == {f"prefect.flow-run.{busy}"}
