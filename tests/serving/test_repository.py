"""The folder of a model server: what it holds, and when it is not written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from lipsync_core.errors import LicenceError, ModelCorruptError, ModelError, ModelMissingError, OptionError, OutputError
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.serving.config import Device
from lipsync_core.serving.repository import export_repository
from tests.echo_network import write_echo
from tests.scaling_network import write_scaling_network
from tests.wav2lip_weights import home_with, seeded_pictures


def config_of(repository: Path, name: str) -> Any:
    text = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_each_installed_model_has_its_file_and_its_configuration(repository: Path) -> None:
    files = sorted(str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file())
    assert files == ["check.sh", "wav2lip/1/model.onnx", "wav2lip/canary.json", "wav2lip/config.pbtxt"]
    config = config_of(repository, "wav2lip")
    assert (config.name, config.backend, config.max_batch_size) == ("wav2lip", "onnxruntime", 64)
    assert {each.name: list(each.dims) for each in config.input} == {"crops": [96, 96, 3], "mel": [80, 16]}
    assert list(config.output[0].dims) == [53, 96, 3]
    queue = config.dynamic_batching.default_queue_policy
    assert (queue.max_queue_size, queue.allow_timeout_override) == (16, True)
    assert queue.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT


def test_a_model_with_a_fixed_batch_is_served_without_batches_and_with_a_bounded_queue(tmp_path: Path) -> None:
    """The public files of SCRFD and GFPGAN take one picture at a time."""
    store = ModelStore(tmp_path / "models")
    network = write_scaling_network(tmp_path / "scaling.onnx", 0.9, first_row=256)
    ModelInstaller(store).import_file("gfpgan", network, accept_licence=True)
    export_repository(store, tmp_path / "repository", "cuda")
    config = config_of(tmp_path / "repository", "gfpgan")
    assert config.max_batch_size == 0
    assert [list(each.dims) for each in config.input] == [[1, 3, 512, 512]]
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 16
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert [each.batch_size for each in config.model_warmup] == [0]
    [canary] = json.loads((tmp_path / "repository" / "gfpgan" / "canary.json").read_text())["inputs"]
    assert (canary["shape"], canary["datatype"], len(canary["data"])) == ([1, 3, 512, 512], "FP32", 3 * 512 * 512)


def test_the_server_gets_the_file_that_this_machine_uses(store: ModelStore, repository: Path) -> None:
    used = store.open_usable("wav2lip").path("network")
    assert (repository / "wav2lip" / "1" / "model.onnx").read_bytes() == used.read_bytes()


def test_the_configuration_names_the_weights(store: ModelStore, repository: Path) -> None:
    parameters = config_of(repository, "wav2lip").parameters
    assert parameters["lipsync_weights_sha256"].string_value == store.open_usable("wav2lip").source_sha256
    assert parameters["lipsync_licence"].string_value == store.entry("wav2lip").licence


@pytest.mark.parametrize(
    ("device", "kind", "precision", "warm_ups"),
    [
        ("cpu", "KIND_CPU", "fp32", []),
        ("cuda", "KIND_GPU", "fp32", [1, 8, 64]),
        ("tensorrt", "KIND_GPU", "fp16", [1, 8, 64]),
    ],
)
def test_the_device_decides_the_provider_the_precision_and_the_warm_up(
    store: ModelStore, tmp_path: Path, device: Device, kind: str, precision: str, warm_ups: list[int]
) -> None:
    export_repository(store, tmp_path / device, device)
    config = config_of(tmp_path / device, "wav2lip")
    assert model_config_pb2.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == kind
    assert config.parameters["lipsync_precision"].string_value == precision
    assert [each.batch_size for each in config.model_warmup] == warm_ups
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert [each.parameters["precision_mode"] for each in accelerators] == (["FP16"] if device == "tensorrt" else [])


def test_a_file_that_was_imported_before_is_served_with_bytes_at_its_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_onnx:
        hide_onnx(without_onnx)
        workspace = home_with(write_echo(tmp_path / "echo.onnx"), tmp_path / "home")
    store = ModelStore(workspace.models)
    bare = Wav2LipNetwork(store.open_usable("wav2lip").path("network"))
    assert not bare.has_picture_ends
    export_repository(store, tmp_path / "repository")
    served = Wav2LipNetwork(tmp_path / "repository" / "wav2lip" / "1" / "model.onnx")
    assert served.has_picture_ends
    mel, crops = seeded_pictures(5)
    np.testing.assert_array_equal(served.speak(mel, crops), bare.speak(mel, crops))


def hide_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package look absent, as on a machine without the extras that bring it."""
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else found(name, *rest))


def test_nothing_is_written_over_a_folder_that_exists(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(OptionError, match="exists already"):
        export_repository(store, tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir())


def test_export_fails_when_no_model_is_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="is installed"):
        export_repository(ModelStore(tmp_path / "models"), tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_export_writes_nothing_when_a_file_is_damaged_or_its_licence_not_accepted(tmp_path: Path) -> None:
    workspace = home_with(write_echo(tmp_path / "echo.onnx"), tmp_path / "home")
    store, target = ModelStore(workspace.models), tmp_path / "out" / "repository"
    acceptance = next((workspace.models / "accepted-licences").iterdir())
    text = acceptance.read_bytes()
    acceptance.unlink()
    with pytest.raises(LicenceError):
        export_repository(store, target)
    acceptance.write_bytes(text)
    network = store.network_path(store.entry("wav2lip"))
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(ModelCorruptError):
        export_repository(store, target)
    assert not target.exists()
    assert not list(target.parent.iterdir())


def test_export_fails_when_its_folder_cannot_be_written(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*repository: ") as caught:
        export_repository(store, tmp_path / "file" / "repository")
    assert caught.value.code == "OUTPUT_UNWRITABLE"
    assert (tmp_path / "file").read_text() == "mine"


def test_export_fails_when_the_folders_name_is_too_long(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long") as caught:
        export_repository(store, tmp_path / ("x" * 300))
    assert caught.value.code == "OUTPUT_UNWRITABLE"


@pytest.mark.parametrize("missing", ["tritonclient", "grpc"])  # tritonclient comes without gRPC, too
@pytest.mark.parametrize("module", ["connection", "config"])
def test_what_needs_the_extra_fails_when_it_is_not_installed(module: str, missing: str) -> None:
    """As the option of any other extra that is missing: the model is not at fault."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from lipsync_core.errors import OptionError\n"
        f"try: import lipsync_core.serving.{module}\n"
        "except OptionError as exc: print(exc.code, exc)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BAD_OPTION a model server needs the extra 'model-server', missing here: ")
    assert done.stdout.endswith("; run: pip install 'lipsync[model-server]'\n")
    assert done.stdout.count("\n") == 1 and "Specify" not in done.stdout


def test_export_fails_when_a_network_takes_a_fixed_number_of_frames(tmp_path: Path) -> None:
    import onnx

    network = onnx.load(write_echo(tmp_path / "echo.onnx"))
    for info in (*network.graph.input, *network.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(network, tmp_path / "fixed.onnx")
    workspace = home_with(tmp_path / "fixed.onnx", tmp_path / "home")
    with pytest.raises(ModelError, match="takes 2 frames at a time"):
        export_repository(ModelStore(workspace.models), tmp_path / "repository")


@pytest.mark.parametrize("name", ["thesis/thesis.txt", "thesis.txt", ""])
def test_exporting_fails_when_the_folder_holds_other_things_and_keeps_them(
    name: str, store: ModelStore, tmp_path: Path
) -> None:
    kept = tmp_path / "precious" / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("years of work")
    with pytest.raises(OptionError, match="precious holds other things"):
        export_repository(store, tmp_path / "precious", is_replacing=True)
    assert kept.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_an_older_folder_is_replaced_whole_where_that_is_asked_for(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "served" / "gfpgan").mkdir(parents=True)
    (tmp_path / "served" / "gfpgan" / "config.pbtxt").touch()
    assert export_repository(store, tmp_path / "served", is_replacing=True) == ("wav2lip",)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == ["check.sh", "wav2lip"]
