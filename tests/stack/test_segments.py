"""A long job in segments: by several runs, with one that is killed, with a job that is cancelled or starts again."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from infra.local.layout import BUCKET
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from lipsync_service.worker.run_processes import process_of
from tests.jobs import luma_frames, reopened
from tests.processes import is_there
from tests.stack.test_faults import set_state, state_of, wait_until
from tests.thorough import thorough

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Json, Service

_LENGTH_S = 68  # two segments
_OUTPUT = "outputs/segments.mp4"


@pytest.fixture(scope="module")
def sources(
    ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A small video and a long sound."""
    folder = tmp_path_factory.mktemp("long")
    face, speech = folder / "face.mp4", folder / "speech.wav"
    ffmpeg("-i", face_clip, "-t", "3", "-vf", "scale=256:-2,fps=20", "-an", "-preset", "ultrafast", face)
    ffmpeg("-stream_loop", "30", "-i", speech_wav, "-t", str(_LENGTH_S), speech)
    return [face, speech]


@pytest.fixture(scope="module")
def whole(sources: list[Path], model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The movie that the command line makes in one piece."""
    folder = tmp_path_factory.mktemp("whole")
    lip_sync(*sources, folder / "whole.mp4", JobOptions(), Workspace(model_store.root, folder / "cache"))
    return folder / "whole.mp4"


@pytest.fixture
def job(service: "Service", sources: list[Path]) -> "Json":
    face, speech = sources
    return {
        "video": service.put(face, "inputs/segments.mp4"),
        "audio": service.put(speech, "inputs/segments.wav"),
        "output": f"s3://{BUCKET}/{_OUTPUT}",
    }


def segments_of(service: "Service", run_id: str) -> dict[str, "Json"]:
    """The runs of the job's segments, by what they are called after the job."""
    runs = service.children(run_id)
    return {name: run for run in runs if (name := run["name"].partition(": ")[2]).startswith("segment")}


def at_their_segments(service: "Service", run_id: str) -> list["Json"]:
    """The runs that have brought their inputs and render."""
    runs = segments_of(service, run_id).values()
    return [run for run in runs if service.task_states(run["id"]).get("segment") == "Running"]


def kept_segments(service: "Service") -> list[str]:
    listed = service.s3.list_objects_v2(Bucket=BUCKET)
    return [each["Key"] for each in listed.get("Contents", ()) if "/segments/" in f"/{each['Key']}"]


def assert_like(whole: Path, service: "Service", run_id: str, folder: Path) -> None:
    """The movie of the job has the frames, times and sound of `whole`."""
    remote = service.get(_OUTPUT, folder / "remote.mp4")
    made = reopened(remote)
    assert made == reopened(whole)
    pairs = zip(luma_frames(remote), luma_frames(whole), strict=True)
    assert max(float(abs(one.astype(int) - other).mean()) for one, other in pairs) < 3  # of 255
    counted = service.ledger("SELECT sum(frames) FROM frame_outcomes WHERE job_id = %s", run_id)
    assert counted == [(len(made.times_s),)]


def test_a_long_job_is_rendered_by_several_runs(service: "Service", job: "Json", whole: Path, tmp_path: Path) -> None:
    run = service.run(job)
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    assert service.task_states(run["id"])["encode"] == "Completed"  # whose progress callers are shown
    runs = segments_of(service, run["id"])
    assert runs
    assert {each["state"]["type"] for each in runs.values()} <= {"COMPLETED", "CANCELLED"}
    done = [name for name, each in runs.items() if each["state"]["type"] == "COMPLETED"]
    assert done
    query = "SELECT stage, items, pool FROM stage_timings WHERE job_id = %s AND part_of = 'encode' AND stage LIKE %s"
    with service.database("lipsync") as ledger:
        rows = ledger.execute(query, [run["id"], "segment %"]).fetchall()
    assert sorted(row[0] for row in rows) == ["segment 0", "segment 1"]
    assert {row[2] for row in rows} == {"lipsync-cpu"}
    [encode] = service.ledger(
        "SELECT items FROM stage_timings WHERE job_id = %s AND stage = 'encode' AND part_of = ''", run["id"]
    )
    assert sum(row[1] for row in rows) == encode[0]
    assert_like(whole, service, run["id"], tmp_path)
    assert kept_segments(service) == []
    assert "preview" in service.artifacts(run["id"])


def test_the_segment_of_a_killed_run_is_rendered_by_the_job(
    service: "Service", job: "Json", whole: Path, tmp_path: Path
) -> None:
    run_id = service.start(job)
    wait_until(lambda: at_their_segments(service, run_id))
    victim = at_their_segments(service, run_id)[0]
    pid = process_of(UUID(victim["id"]))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert service.finished(run_id)["state"]["name"] == "Completed"
    assert service.api.get(f"/flow_runs/{run_id}").json()["run_count"] == 1
    assert state_of(service, victim["id"]) != "COMPLETED"
    assert_like(whole, service, run_id, tmp_path)


@thorough
def test_a_job_that_starts_again_takes_the_segments_that_there_are(
    service: "Service", job: "Json", whole: Path, tmp_path: Path
) -> None:
    run_id = service.start(job)
    wait_until(lambda: any(name.endswith(".json") for name in kept_segments(service)))
    pid = process_of(UUID(run_id))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(service, run_id) == "COMPLETED")
    assert service.api.get(f"/flow_runs/{run_id}").json()["run_count"] == 2
    rendered = "SELECT stage FROM stage_timings WHERE job_id = %s AND part_of = 'encode' AND attempt = 2"
    again = [row[0] for row in service.ledger(rendered, run_id) if row[0].startswith("segment")]
    assert len(again) < 2
    assert_like(whole, service, run_id, tmp_path)


def test_cancelling_a_job_cancels_its_segments(service: "Service", job: "Json") -> None:
    run_id = service.start(job)
    wait_until(lambda: any(each["state"]["type"] == "RUNNING" for each in segments_of(service, run_id).values()))
    runs = [run_id, *(each["id"] for each in segments_of(service, run_id).values())]
    pids = [pid for each in runs if (pid := process_of(UUID(each)))]
    set_state(service, run_id, "CANCELLING")
    wait_until(lambda: state_of(service, run_id) == "CANCELLED")
    segments = segments_of(service, run_id).values()
    wait_until(lambda: {state_of(service, each["id"]) for each in segments} <= {"CANCELLED", "COMPLETED"})
    wait_until(lambda: not any(map(is_there, pids)))
    assert service.ledger("SELECT state FROM jobs WHERE id = %s", run_id) == [("cancelled",)]
