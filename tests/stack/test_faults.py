"""A run comes back too late, is cancelled, or dies with its worker: the short form of `benchmarks/faults.py`."""

import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from infra.local.layout import BUCKET
from lipsync_service.settings import Settings
from lipsync_service.watch.recovery import SILENCE_LIMIT, Recovery
from lipsync_service.watch.service_api import open_watched_api
from lipsync_service.worker.run_processes import process_of
from tests import waiting
from tests.processes import is_there, readers_of
from tests.thorough import thorough

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Json, Service

_JOB_FOLDER = re.compile(r".*/lipsync-job-[^/]*")
wait_until = partial(waiting.wait_until, limit_s=240.0)
OUTPUT = "outputs/fault.mp4"


@pytest.fixture
def job(service: "Service", ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, tmp_path: Path) -> "Json":
    """A request that takes long enough to be met at work."""
    face, speech = tmp_path / "face.mp4", tmp_path / "speech.wav"
    ffmpeg("-i", face_clip, "-t", "1", "-an", "-c:v", "libx264", "-preset", "ultrafast", face)
    ffmpeg("-stream_loop", "30", "-i", speech_wav, "-t", "60", speech)
    return {
        "video": service.put(face, "inputs/fault.mp4"),
        "audio": service.put(speech, "inputs/fault.wav"),
        "output": f"s3://{BUCKET}/{OUTPUT}",
    }


@pytest.fixture
def two_workers(service: "Service") -> Iterator[None]:
    """Two workers for each pool; one again afterwards."""
    service.stack("up --workers 2")
    yield
    service.stack("up")


@pytest.fixture
def one_at_once(service: "Service") -> Iterator[None]:
    """The CPU pool takes one run at once."""
    pool = "/work_pools/lipsync-cpu"
    before = service.api.get(pool).raise_for_status().json()["concurrency_limit"]
    service.api.patch(pool, json={"concurrency_limit": 1}).raise_for_status()
    yield
    service.api.patch(pool, json={"concurrency_limit": before}).raise_for_status()


def at_work(service: "Service", run_id: str, task: str) -> int:
    """Wait until this task of the run has begun; the process of the run."""
    wait_until(lambda: task in service.task_states(run_id))
    pid = process_of(UUID(run_id))
    assert pid is not None
    return pid


def state_of(service: "Service", run_id: str) -> str:
    return str(service.api.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"]["type"])


def history(service: "Service", run_id: str) -> list[str]:
    states = service.api.get("/flow_run_states/", params={"flow_run_id": run_id}).raise_for_status().json()
    return [each["type"] for each in sorted(states, key=lambda each: str(each["timestamp"]))]


def set_state(service: "Service", run_id: str, type_: str) -> None:
    body = {"state": {"type": type_, "name": type_.title()}, "force": True}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=body).raise_for_status()


def claimant(service: "Service", pid: int) -> str:
    """The worker whose run this process is: its command's parent."""
    names = {service.process(name): name for name in service.processes() if name.startswith("worker-lipsync-cpu")}
    for command in Path("/proc").glob("[0-9]*"):
        parent = (command / "stat").read_text().rpartition(")")[2].split()[1] if command.exists() else ""
        if parent.isdecimal() and int(parent) in names and b"launch.py" in (command / "cmdline").read_bytes():
            return names[int(parent)]
    raise AssertionError(f"no worker has the process {pid}")


@thorough
def test_a_paused_attempt_that_comes_back_changes_nothing(
    service: "Service", job: "Json", two_workers: None, tmp_path: Path
) -> None:
    """As where a host hangs for longer than heartbeats may be missing, and goes on after the job is done elsewhere."""
    run_id = service.start(job)
    paused = at_work(service, run_id, "encode")
    worker = service.process(claimant(service, paused))
    try:
        for each in (worker, paused):
            os.kill(each, signal.SIGSTOP)
        # The watcher does so after 90 s of silence and a crash; at a crash another worker of this host would kill it.
        set_state(service, run_id, "SCHEDULED")
        wait_until(lambda: state_of(service, run_id) == "COMPLETED")
        note = tmp_path / "newer"
        note.write_text("what the caller has put there since")
        service.put(note, OUTPUT)
        states = history(service, run_id)
        assert states.count("RUNNING") == 2 and Path(f"/proc/{paused}").exists()
    finally:
        for each in (worker, paused):
            os.kill(each, signal.SIGCONT)
    wait_until(lambda: not Path(f"/proc/{paused}").exists())
    assert service.get(OUTPUT, tmp_path / "now").read_text() == note.read_text()
    assert history(service, run_id) == states
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("completed", 2)]
    service.wait_for_log(run_id, "the job has gone on without this attempt")
    frames = "SELECT count(DISTINCT attempt) FROM frame_outcomes WHERE job_id = %s"
    assert service.ledger(frames, run_id) == [(1,)]


@pytest.mark.parametrize("answering", [True, False], ids=["at work", "without an answer of their readers"])
def test_cancelling_stops_both_pools_and_frees_their_slots(
    service: "Service", job: "Json", one_at_once: None, answering: bool
) -> None:
    run_id = service.start(job)
    wait_until(lambda: [child["state"]["type"] for child in service.children(run_id)] == ["RUNNING"])
    [child] = service.children(run_id)
    pids = [pid for each in (run_id, child["id"]) if (pid := process_of(UUID(each)))]
    assert len(pids) == 2
    wait_until(lambda: len(readers_of(pids[1])) > 1)
    readers = [reader for pid in pids for reader in readers_of(pid)]
    for reader in () if answering else readers:
        os.kill(reader, signal.SIGSTOP)
    set_state(service, run_id, "CANCELLING")
    wait_until(lambda: not any(map(is_there, [*pids, *readers])), limit_s=30.0)  # 1 to 5 s on quiet cores
    wait_until(lambda: (state_of(service, run_id), state_of(service, child["id"])) == ("CANCELLED", "CANCELLED"))
    wait_until(lambda: service.ledger("SELECT state FROM jobs WHERE id = %s", run_id) == [("cancelled",)])
    missing = {**job, "video": f"s3://{BUCKET}/none.mp4"}
    assert service.run(missing)["state"]["message"].startswith("NOT_FOUND")  # the pool's one slot is free


@thorough
def test_a_slot_comes_back_when_its_run_dies_with_its_worker(
    service: "Service", job: "Json", one_at_once: None
) -> None:
    """Prefect's own slots of deployments belong to leases, which nobody gives back after such a death."""
    run_id = service.start(job)
    pid = at_work(service, run_id, "encode")
    waiting = service.start({**job, "video": f"s3://{BUCKET}/none.mp4"})
    for each in (service.process("worker-lipsync-cpu"), pid):
        os.kill(each, signal.SIGKILL)
    service.stack("up")
    assert (state_of(service, run_id), state_of(service, waiting)) == ("RUNNING", "SCHEDULED")
    with open_watched_api(Settings(api_url=service.layout.api_url), 20.0) as api:
        Recovery(api, lambda: datetime.now(UTC) + SILENCE_LIMIT + timedelta(minutes=5)).mark_silent()
    assert state_of(service, run_id) == "CRASHED"
    assert service.finished(waiting)["state"]["message"].startswith("NOT_FOUND")
    wait_until(lambda: state_of(service, run_id) == "RUNNING")
    set_state(service, run_id, "CANCELLING")
    wait_until(lambda: state_of(service, run_id) == "CANCELLED")
    assert service.api.post("/v2/concurrency_limits/filter", json={}).raise_for_status().json() == []


@thorough
def test_what_a_killed_job_left_on_its_host_is_cleared_up(service: "Service", job: "Json") -> None:
    run_id = service.start(job)
    pid = at_work(service, run_id, "encode")
    folders = {Path(path) for path in open_folders(pid)}
    assert folders and all(folder.is_dir() for folder in folders)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(folder.exists() for folder in folders))
    wait_until(lambda: history(service, run_id).count("RUNNING") == 2)
    set_state(service, run_id, "CANCELLING")
    wait_until(lambda: state_of(service, run_id) == "CANCELLED")


def open_folders(pid: int) -> Iterator[str]:
    """The job's folders that the process has open, or a file in them."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = str(link.readlink()) if link.is_symlink() else ""
        found = _JOB_FOLDER.match(target)
        if found:
            yield found[0]
