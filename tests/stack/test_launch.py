"""Forked runs are stopped, noticed when dead, and run again, like any other process of Prefect's."""

import logging
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from tests.thorough import thorough
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Json, Service

SPEECH_S, RATE = 12, 25
CANCELLED = "Flow run was cancelled."
SILENCE_S = 180.0  # 90 s without a heartbeat, and some for a loaded machine


@pytest.fixture
def long_job(
    request: pytest.FixtureRequest,
    service: "Service",
    ffmpeg: "Ffmpeg",
    face_clip: Path,
    speech_wav: Path,
    tmp_path: Path,
) -> "Json":
    """A request that takes long enough to be stopped in the middle; the parameter is the speech's length in seconds."""
    face, speech = tmp_path / "face.mp4", tmp_path / "speech.wav"
    speech_s = getattr(request, "param", SPEECH_S)
    ffmpeg("-i", face_clip, "-t", "1", "-an", "-c:v", "libx264", "-preset", "ultrafast", face)
    ffmpeg("-stream_loop", "30", "-i", speech_wav, "-t", str(speech_s), speech)
    return {
        "video": service.put(face, "inputs/long.mp4"),
        "audio": service.put(speech, "inputs/long.wav"),
        "output": "s3://lipsync/outputs/long.mp4",
    }


def forked_runs(service: "Service") -> set[int]:
    """The process ids of the launcher's forked runs."""
    launcher = service.process("launcher")
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return {int(pid) for pid in children}


def working(service: "Service", run_id: str, task: str) -> int:
    """Wait until this task of the run has begun; the process id of the run."""
    wait_until(lambda: task in service.task_states(run_id))
    return min(forked_runs(service))


def state_of(service: "Service", run_id: str) -> str:
    return str(service.api.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"]["type"])


def cancel(service: "Service", run_id: str) -> None:
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=cancelling).raise_for_status()


def is_claimed(service: "Service", run_id: str) -> bool:
    """Whether a worker has taken the run."""
    return state_of(service, run_id) != "SCHEDULED"


def assert_done_again(service: "Service", run_id: str, output: Path) -> None:
    """The second attempt completes, the ledger counts it as the second, and the result is whole."""
    wait_until(lambda: state_of(service, run_id) == "COMPLETED")
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("completed", 2)]
    with av.open(str(service.get("outputs/long.mp4", output))) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == SPEECH_S * RATE


@pytest.mark.parametrize("long_job", [240], indirect=True, ids=["four minutes"])
@thorough
def test_a_cancelled_job_ends_with_its_child_and_the_ledger_says_so(service: "Service", long_job: "Json") -> None:
    run_id = service.start(long_job)
    working(service, run_id, "encode")
    wait_until(lambda: "progress" in service.artifacts(run_id))  # a bar, once it is a long job
    assert 0 < service.artifacts(run_id)["progress"]["data"] < 100
    cancel(service, run_id)
    assert service.finished(run_id)["state"]["type"] == "CANCELLED"
    wait_until(lambda: not forked_runs(service))
    assert service.ledger("SELECT state FROM jobs WHERE id = %s", run_id) == [("cancelled",)]
    assert "upload" not in service.task_states(run_id)
    wait_until(lambda: {child["state"]["type"] for child in service.children(run_id)} <= {"CANCELLED", "COMPLETED"})


@thorough
@pytest.mark.parametrize("long_job", [120], indirect=True, ids=["two minutes"])
def test_the_log_of_a_cancelled_job_says_so_and_holds_no_errors(service: "Service", long_job: "Json") -> None:
    """Both stages of the pass over the frames end by an error, and the worker was unable to send its event."""
    run_id = service.start(long_job)
    working(service, run_id, "encode")
    cancel(service, run_id)
    assert service.finished(run_id)["state"]["type"] == "CANCELLED"
    service.wait_for_log(run_id, CANCELLED)
    assert service.logs(run_id).endswith(CANCELLED)
    assert not service.logs(run_id, min_level=logging.WARNING)
    related = {"id": [f"prefect.flow-run.{run_id}"]}
    told = {"event": {"name": ["prefect.runner.cancelled-flow-run"]}, "related": related}
    wait_until(lambda: service.count_events(told) == 1)


@pytest.mark.parametrize("long_job", [120], indirect=True, ids=["two minutes"])
def test_a_run_that_is_cancelled_while_its_process_starts_does_not_stay_cancelling(
    service: "Service", long_job: "Json"
) -> None:
    """Prefect's own worker loses most of these; the watcher frees a lost one after two minutes."""
    run_ids = []
    for pause_s in (0.0, 0.1, 0.2, 0.3):
        run_id = service.start_with({"request": long_job}, "lipsync-gpu/lipsync-gpu")
        wait_until(partial(is_claimed, service, run_id))
        time.sleep(pause_s)
        cancel(service, run_id)
        run_ids.append(run_id)
    wait_until(lambda: {state_of(service, run_id) for run_id in run_ids} == {"CANCELLED"}, limit_s=60.0)
    assert [state_of(service, run_id) for run_id in run_ids] == ["CANCELLED"] * 4


@thorough
def test_a_job_is_run_again_at_once_and_its_worker_lives(service: "Service") -> None:
    """Prefect's own worker with a limit ends with an error if it still holds the first attempt's slot."""
    missing = {
        name: f"s3://lipsync/none.{end}" for name, end in (("video", "mp4"), ("audio", "wav"), ("output", "mp4"))
    }
    run_id = service.run(missing)["id"]
    again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=again).raise_for_status()
    wait_until(lambda: state_of(service, run_id) != "SCHEDULED")
    service.finished(run_id)
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("failed", 2)]


@thorough
def test_a_job_whose_process_is_killed_is_done_by_a_second_attempt(
    service: "Service", long_job: "Json", tmp_path: Path
) -> None:
    run_id = service.start(long_job)
    os.kill(working(service, run_id, "encode"), signal.SIGKILL)
    wait_until(lambda: state_of(service, run_id) == "CRASHED")
    assert_done_again(service, run_id, tmp_path / "again.mp4")


@thorough
def test_a_job_whose_part_on_the_gpu_pool_is_killed_starts_that_part_again(
    service: "Service", long_job: "Json", tmp_path: Path
) -> None:
    run_id = service.start(long_job)
    wait_until(lambda: [child["state"]["type"] for child in service.children(run_id)] == ["RUNNING"])
    os.kill(max(forked_runs(service)), signal.SIGKILL)
    assert service.finished(run_id)["state"]["type"] == "COMPLETED"
    assert sorted(child["state"]["type"] for child in service.children(run_id)) == ["COMPLETED", "CRASHED"]
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("completed", 1)]


def test_runs_end_with_their_launcher_and_are_done_by_a_second_attempt(
    service: "Service", long_job: "Json", tmp_path: Path
) -> None:
    """Nobody could pass a cancellation on to a run that outlives it, and `down` would not know of it."""
    run_id = service.start(long_job)
    working(service, run_id, "encode")
    runs = forked_runs(service)
    os.kill(service.process("launcher"), signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in runs))
    service.stack("up")
    assert_done_again(service, run_id, tmp_path / "again.mp4")


@thorough
def test_a_job_outlives_its_worker_that_is_killed(service: "Service", long_job: "Json", tmp_path: Path) -> None:
    """The run's output is a pipe to the worker: nobody reads its last lines."""
    run_id = service.start(long_job)
    working(service, run_id, "encode")
    os.kill(service.process("worker-lipsync-cpu"), signal.SIGKILL)
    assert service.finished(run_id)["state"]["type"] == "COMPLETED"
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("completed", 1)]
    service.stack("up")


@thorough
@pytest.mark.parametrize("long_job", [60], indirect=True, ids=["a minute"])
def test_a_job_outlives_the_servers_that_it_works_with(service: "Service", long_job: "Json", tmp_path: Path) -> None:
    run_id = service.start(long_job)
    working(service, run_id, "encode")
    database = int((service.layout.postgres / "postmaster.pid").read_text().splitlines()[0])
    for pid in (database, service.process("s3"), service.process("prefect-server")):
        os.kill(pid, signal.SIGKILL)
    service.stack("up")
    assert service.finished(run_id)["state"]["type"] == "COMPLETED"
    assert service.ledger("SELECT state, attempt FROM jobs WHERE id = %s", run_id) == [("completed", 1)]
    with av.open(str(service.get("outputs/long.mp4", tmp_path / "out.mp4"))) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == 60 * RATE


def test_a_job_that_dies_with_its_worker_is_done_by_a_second_attempt(
    service: "Service", long_job: "Json", tmp_path: Path
) -> None:
    """As after a power failure of a host: no process can report the end, so missing heartbeats have to tell it."""
    run_id = service.start(long_job)
    process = working(service, run_id, "encode")
    os.kill(service.process("worker-lipsync-cpu"), signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    service.stack("up")  # which starts the worker again
    assert state_of(service, run_id) == "RUNNING"
    wait_until(lambda: state_of(service, run_id) == "CRASHED", SILENCE_S)
    assert_done_again(service, run_id, tmp_path / "again.mp4")
