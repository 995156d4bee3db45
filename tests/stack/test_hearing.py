"""Workers hear of runs: with polls an hour apart runs start all the same; without the stream, polls find them.

The stack has no GPU pool, as that of a machine without a GPU, so a job does all its work in its own run.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from lipsync_service.names import CPU_POOL
from tests.stack.conftest import running_stack
from tests.stack.test_launch import state_of, wait_until
from tests.thorough import thorough

if TYPE_CHECKING:
    from tests.stack.conftest import Json, Service

pytestmark = [pytest.mark.servers, thorough]
#: More runs than the stack's worker has slots.
MANY = 8
AN_HOUR_S = "3600"


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory, model_store: object) -> "Iterator[Service]":
    """A stack whose worker, that of the CPU pool, polls for runs once an hour."""
    settings = {"PREFECT_WORKER_QUERY_SECONDS": AN_HOUR_S, "LIPSYNC_GPU_POOL": ""}
    with running_stack(tmp_path_factory.mktemp("hearing"), **settings) as service:
        yield service


def short_job(number: int = 0) -> "Json":
    """A request that fails at its first stage, because its inputs do not exist."""
    names = (("video", "mp4"), ("audio", "wav"), ("output", "mp4"))
    return {name: f"s3://lipsync/none-{number}.{end}" for name, end in names}


def test_runs_that_are_submitted_over_rest_start_although_workers_poll_once_an_hour(hearing: "Service") -> None:
    assert hearing.run(short_job())["state"]["type"] == "FAILED"


def test_runs_that_found_no_slot_start_when_others_end(hearing: "Service") -> None:
    runs = [hearing.start(short_job(number)) for number in range(MANY)]
    assert [hearing.finished(run_id)["state"]["type"] for run_id in runs] == ["FAILED"] * MANY


def test_a_run_that_is_due_again_is_heard_of(hearing: "Service") -> None:
    run_id = hearing.run(short_job())["id"]
    again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    hearing.api.post(f"/flow_runs/{run_id}/set_state", json=again).raise_for_status()
    wait_until(lambda: state_of(hearing, run_id) == "FAILED")
    assert hearing.ledger("SELECT attempt FROM jobs WHERE id = %s", run_id) == [(2,)]


def test_a_job_without_a_gpu_pool_tracks_and_infers_in_its_own_run(
    hearing: "Service", face: Path, speech: Path, tmp_path: Path
) -> None:
    assert [name for name in hearing.processes() if name.startswith("worker-")] == [f"worker-{CPU_POOL}"]
    files = {"video": hearing.put(face, "own.mp4"), "audio": hearing.put(speech, "own.wav")}
    run = hearing.run({**files, "output": "s3://lipsync/own-out.mp4"})
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert {"track", "infer", "encode"} <= set(hearing.task_states(run["id"]))
    assert hearing.children(run["id"]) == []
    query = "SELECT DISTINCT pool, host FROM stage_timings WHERE job_id = %s AND stage IN ('track', 'infer', 'encode')"
    assert [pool for pool, _ in hearing.ledger(query, run["id"])] == [CPU_POOL]
    with av.open(hearing.get("own-out.mp4", tmp_path / "out.mp4")) as movie:
        assert len(list(movie.decode(video=0))) == 38  # 1.5 s at 25 frames/s
    hearing.wait_for_log(run["id"], "Finished in state Completed()")  # the process sends its last lines before it ends


def test_workers_hear_again_after_the_server_was_killed(hearing: "Service") -> None:
    os.kill(hearing.process("prefect-server"), signal.SIGKILL)
    hearing.stack("up")
    assert hearing.run(short_job())["state"]["type"] == "FAILED"


def test_the_servers_settings_are_in_force(hearing: "Service") -> None:
    """Prefect ignores a variable that it does not know, so the server itself is asked."""
    server = hearing.api.get("/admin/settings").raise_for_status().json()["server"]
    recorder = server["services"]["task_run_recorder"]
    assert (recorder["batch_size"], recorder["flush_interval"]) == (50, 1.0)
    assert set(server["services"]["db_vacuum"]["enabled"]) == {"events", "flow_runs"}
    assert server["events"]["proactive_granularity"] == "PT10S"


def test_a_run_is_found_by_a_poll_while_no_events_come(hearing: "Service") -> None:
    """The last test of this stack, whose server sends no events from now on."""
    deaf = {"PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    for name in (f"worker-{CPU_POOL}", "prefect-server"):
        os.kill(hearing.process(name), signal.SIGKILL)
    hearing.stack("up", **deaf)
    assert hearing.run(short_job())["state"]["type"] == "FAILED"
