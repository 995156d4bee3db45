"""The networks of a job run on the provider of the pool that runs them, and each pool opens only its own networks.

ONNX Runtime's stand-in offers a GPU to a stack of its own and logs every session and run. So a machine without a GPU
can prove which provider did the work of the GPU pool.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from lipsync_core.execution import Execution
from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from lipsync_service.worker.run_processes import process_of
from tests.echo_network import write_echo
from tests.jobs import luma_frames, reopened
from tests.onnx_stand_in import CUDA, Event, logged_events, stand_in_environment
from tests.scaling_network import write_scaling_network
from tests.stack.conftest import running_stack
from tests.stack.test_faults import wait_until
from tests.thorough import thorough
from tests.wav2lip_weights import home_with

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Json, Service

_INFERRING, _ENHANCING = "wav2lip.onnx", "gfpgan.onnx"
_SEGMENT_S, _LENGTH_S = 6, 16  # a long job here: three parts
_ROWS = "SELECT part_of, stage, items, pool, provider FROM stage_timings WHERE job_id = %s"
_STAGES = "SELECT stage, provider, pool FROM stage_timings WHERE job_id = %s AND part_of = ''"


@dataclass(frozen=True)
class GpuStack:
    """A stack whose ONNX Runtime offers a GPU."""

    service: "Service"
    log: Path
    home: Path  # with the folder of its models

    def events_of(self, request: "Json") -> tuple["Json", list[Event]]:
        """Run a job; its flow run, and the events of ONNX Runtime in all processes meanwhile, except for trial runs."""
        before = len(logged_events(self.log))
        run = self.service.run(request)
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
        return run, [event for event in logged_events(self.log)[before:] if event.model]


@pytest.fixture(scope="module")
def gpu_stack(tmp_path_factory: pytest.TempPathFactory, model_store: object) -> Iterator[GpuStack]:
    """Wav2Lip and GFPGAN are networks of the tests' own; no setting names a provider."""
    folder = tmp_path_factory.mktemp("gpu")
    workspace = home_with(write_echo(folder / "echo.onnx"), folder / "data" / "lipsync")
    scaling = write_scaling_network(folder / "scaling.onnx", 0.9, first_row=256)
    ModelInstaller(ModelStore(workspace.models)).import_file("gfpgan", scaling, accept_licence=True)
    log = folder / "onnxruntime.log"
    chosen = ("PYTHONPATH", "STAND_IN_PROVIDERS", "STAND_IN_FALLBACK", "STAND_IN_LOG")
    stand_in = {name: value for name, value in stand_in_environment(log).items() if name in chosen}
    settings = {"XDG_DATA_HOME": str(folder / "data"), "LIPSYNC_SEGMENT_S": str(_SEGMENT_S)}
    with running_stack(folder / "stack", **settings, **stand_in) as service:
        yield GpuStack(service, log, folder / "data")


def test_the_gpu_pool_infers_on_its_gpu_and_the_cpu_pool_opens_no_network(
    gpu_stack: GpuStack, face: Path, speech: Path
) -> None:
    service = gpu_stack.service
    request = {
        "video": service.put(face, "in/face.mp4"),
        "audio": service.put(speech, "in/speech.wav"),
        "output": "s3://lipsync/out/plain.mp4",
        "model": "wav2lip",
    }
    run, events = gpu_stack.events_of(request)
    assert {Path(event.model or "").name for event in events} == {_INFERRING}
    assert {event.provider for event in events} == {CUDA}
    assert [event.event for event in events].count("open") == 1  # in the child alone; the parent infers nothing
    stages = {stage: (provider, pool) for stage, provider, pool in service.ledger(_STAGES, run["id"])}
    assert stages["infer"] == ("cuda", "lipsync-gpu")
    assert stages["track"] == ("cpu", "lipsync-gpu")  # LiteRT runs on the CPU
    assert {stages[name] for name in ("blend", "encode", "upload")} == {(None, "lipsync-cpu")}
    [child] = service.children(run["id"])
    service.wait_for_log(child["id"], "networks run on cuda: it ran a trial network correctly")
    assert "wav2lip/1" in service.artifacts(child["id"])["parts"]["data"]


def test_only_the_cpu_pool_opens_the_network_that_restores_faces(gpu_stack: GpuStack, face: Path, speech: Path) -> None:
    service = gpu_stack.service
    request = {
        "video": service.put(face, "in/face.mp4"),
        "audio": service.put(speech, "in/speech.wav"),
        "output": "s3://lipsync/out/restored.mp4",
        "model": "wav2lip",
        "length": "video",  # the cache of the other job does not serve it
        "enhance_quality": True,
    }
    run, events = gpu_stack.events_of(request)
    processes = {
        name: {each.pid for each in events if each.model and each.model.endswith(name)}
        for name in (_INFERRING, _ENHANCING)
    }
    assert all(len(pids) == 1 for pids in processes.values())
    assert processes[_INFERRING] != processes[_ENHANCING]
    rows = service.ledger("SELECT stage, provider, pool FROM stage_timings WHERE job_id = %s", run["id"])
    assert ("enhance", "cuda", "lipsync-cpu") in rows


@pytest.fixture(scope="module")
def long_inputs(
    ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A face that goes there and back, and a sound as long."""
    folder = tmp_path_factory.mktemp("long")
    face, speech = folder / "face.mp4", folder / "speech.wav"
    there_and_back = "split[a][b];[b]reverse[c];[a][c]concat,loop=1:250,scale=256:-2"
    ffmpeg("-i", face_clip, "-vf", there_and_back, "-t", str(_LENGTH_S), "-an", "-preset", "ultrafast", face)
    ffmpeg("-stream_loop", "3", "-i", speech_wav, "-t", str(_LENGTH_S), speech)
    return [face, speech]


def parts_of(service: "Service", run_id: str) -> dict[str, "Json"]:
    """The runs of a job's parts, by what they are called after the job."""
    return {run["name"].partition(": ")[2]: run for run in service.children(run_id)}


def long_job(service: "Service", inputs: list[Path], model: str) -> "Json":
    face, speech = inputs
    return {
        "video": service.put(face, f"in/long-{model}.mp4"),
        "audio": service.put(speech, f"in/long-{model}.wav"),
        "output": f"s3://lipsync/out/long-{model}.mp4",
        "model": model,
    }


def assert_made_as_here(service: "Service", model: str, inputs: list[Path], home: Path, folder: Path) -> None:
    """The output of `long_job` has the frames of the movie that one process makes in one piece."""
    workspace = Workspace(home / "lipsync" / "models", folder / "cache")
    lip_sync(*inputs, folder / "whole.mp4", JobOptions(model=model), workspace, execution=Execution("cpu", jobs=1))
    remote = service.get(f"out/long-{model}.mp4", folder / "remote.mp4")
    assert reopened(remote) == reopened(folder / "whole.mp4")
    pairs = zip(luma_frames(remote), luma_frames(folder / "whole.mp4"), strict=True)
    assert max(float(abs(one.astype(int) - other).mean()) for one, other in pairs) < 3  # of 255


def test_the_gpu_part_of_a_long_job_is_done_by_many_runs(
    gpu_stack: GpuStack, long_inputs: list[Path], tmp_path: Path
) -> None:
    service = gpu_stack.service
    run, events = gpu_stack.events_of(long_job(service, long_inputs, "wav2lip"))
    runs = parts_of(service, run["id"])
    count = 3
    wanted = {
        "track and infer",
        *(f"track part {number} of {count}" for number in range(count)),
        *(f"infer part {number} of {count}" for number in range(count)),
    }
    assert wanted <= runs.keys()
    assert {runs[name]["state"]["type"] for name in wanted} == {"COMPLETED"}
    assert {runs[name]["work_pool_name"] for name in wanted} == {"lipsync-gpu"}
    inferring = [each for each in events if each.event == "run"]
    assert {Path(each.model or "").name for each in inferring} == {_INFERRING}
    assert len({each.pid for each in inferring}) == count  # each part in its own run, and none in the first
    assert len({each.pid for each in events}) == count + 1  # runs that track open no network
    rows = service.ledger(_ROWS, run["id"])
    # A part may be done twice where its run begins just as another takes it; who comes second finds it done.
    items = {(row[0], row[1]): (row[2], row[3]) for row in sorted(rows, key=lambda row: row[2])}
    frames = reopened(service.get("out/long-wav2lip.mp4", tmp_path / "out.mp4")).times_s
    for stage, part in (("track", "track part"), ("infer", "infer part"), ("encode", "segment")):
        parts = [items[stage, f"{part} {number}"][0] for number in range(count)]
        assert sum(parts) == items["", stage][0] == len(frames)
        assert min(parts) > 0.6 * len(frames) / count
    assert {items[stage, f"{stage} part 1"][1] for stage in ("track", "infer")} == {"lipsync-gpu"}
    assert ("", "infer", len(frames), "lipsync-cpu", "cuda") in rows  # the time of all parts, of the run that waited
    assert_made_as_here(service, "wav2lip", long_inputs, gpu_stack.home, tmp_path)


def test_a_long_job_whose_edits_are_kept_infers_none_again(gpu_stack: GpuStack, long_inputs: list[Path]) -> None:
    request = {**long_job(gpu_stack.service, long_inputs, "wav2lip"), "output": "s3://lipsync/out/again.mp4"}
    run, events = gpu_stack.events_of(request)
    assert [each for each in events if each.event == "run"] == []
    assert not any(name.startswith("infer part") for name in parts_of(gpu_stack.service, run["id"]))


@thorough
def test_the_parts_of_killed_gpu_runs_are_done_again(
    gpu_stack: GpuStack, long_inputs: list[Path], ffmpeg: "Ffmpeg", tmp_path: Path
) -> None:
    service, (face, speech) = gpu_stack.service, long_inputs
    other = tmp_path / "other.mp4"  # whose track is kept nowhere
    ffmpeg("-i", face, "-c", "copy", "-metadata", "comment=other", other)
    run_id = service.start(long_job(service, [other, speech], "wav2lip"))

    def process_at(part: str) -> int | None:
        run = next((run for name, run in parts_of(service, run_id).items() if name.startswith(part)), None)
        return process_of(UUID(run["id"])) if run else None

    for part in ("track part 0", "infer part 0"):
        wait_until(lambda part=part: process_at(part) is not None)  # type: ignore[misc]
        os.kill(process_at(part) or 0, signal.SIGKILL)
    run = service.finished(run_id)
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert run["run_count"] == 1
    assert_made_as_here(service, "wav2lip", [other, speech], gpu_stack.home, tmp_path)
