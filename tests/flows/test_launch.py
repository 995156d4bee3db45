"""Runs forked by the launcher are stopped, and found dead, as any other process of Prefect's is."""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.flows.conftest import Json, Service


@pytest.fixture
def long_job(service: "Service", ffmpeg: "Ffmpeg", clips: Path, tmp_path: Path) -> "Json":
    """A request that takes a minute or so."""
    face, speech = tmp_path / "face.mp4", tmp_path / "speech.wav"
    source = clips / "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4"
    ffmpeg("-i", source, "-t", "1", "-an", "-c:v", "libx264", "-preset", "ultrafast", face)
    ffmpeg("-stream_loop", "30", "-i", clips / "retalking_audio1.wav", "-t", "120", speech)
    return {
        "video": service.put(face, "inputs/long.mp4"),
        "audio": service.put(speech, "inputs/long.wav"),
        "output": "s3://lipsync/outputs/long.mp4",
    }


def doubles(service: "Service") -> set[int]:
    """The processes that the launcher has forked and that are at work."""
    launcher = service.process("launcher")
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return {int(pid) for pid in children}


def running(service: "Service", run_id: str) -> int:
    """Wait until the run is at work; its process."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if service.task_states(run_id):
            return min(doubles(service))
        time.sleep(0.1)
    raise AssertionError("the run does not begin")


def assert_nothing_runs(service: "Service") -> None:
    deadline = time.monotonic() + 60
    while doubles(service) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert doubles(service) == set()


def test_a_cancelled_job_ends_with_its_child_and_the_ledger_says_so(service: "Service", long_job: "Json") -> None:
    run_id = service.start(long_job)
    running(service, run_id)
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=cancelling).raise_for_status()
    assert service.finished(run_id)["state"]["type"] == "CANCELLED"
    assert_nothing_runs(service)
    assert service.ledger("SELECT state FROM jobs WHERE id = %s", run_id) == [("cancelled",)]
    for child in service.children(run_id):
        assert child["state"]["type"] != "COMPLETED"


def test_a_job_is_reported_as_crashed_when_its_process_is_killed(service: "Service", long_job: "Json") -> None:
    run_id = service.start(long_job)
    os.kill(running(service, run_id), signal.SIGKILL)
    assert service.finished(run_id)["state"]["type"] == "CRASHED"
    for child in service.children(run_id):
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        service.api.post(f"/flow_runs/{child['id']}/set_state", json=state)
    assert_nothing_runs(service)
