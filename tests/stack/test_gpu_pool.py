"""The networks of a job run on the provider of the pool that runs them, and each pool opens only its own networks.

ONNX Runtime's stand-in offers a GPU to a stack of its own and logs every session and run. So a machine without a GPU
can prove which provider did the work of the GPU pool.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from tests.echo_network import write_echo
from tests.onnx_stand_in import CUDA, Event, logged_events, stand_in_environment
from tests.scaling_network import write_scaling_network
from tests.stack.conftest import running_stack
from tests.wav2lip_weights import home_with

if TYPE_CHECKING:
    from tests.stack.conftest import Json, Service

_INFERRING, _ENHANCING = "wav2lip.onnx", "gfpgan.onnx"
_STAGES = "SELECT stage, provider, pool FROM stage_timings WHERE job_id = %s AND part_of = ''"


@dataclass(frozen=True)
class GpuStack:
    """A stack whose ONNX Runtime offers a GPU."""

    service: "Service"
    log: Path

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
    with running_stack(folder / "stack", XDG_DATA_HOME=str(folder / "data"), **stand_in) as service:
        yield GpuStack(service, log)


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
