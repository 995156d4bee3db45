"""The three loads: each opens only the networks that its machine needs.

Each load is a child process whose ONNX Runtime is the stand-in, which logs the opened sessions.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lipsync_core import JobOptions, Workspace
from lipsync_core.catalogue import load_inference, load_painting, load_parts, load_rendering
from lipsync_core.errors import ModelError
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.install import ModelInstaller
from lipsync_core.models import content
from lipsync_core.models.store import ModelStore
from lipsync_core.option_specs import Model
from tests.echo_network import write_echo
from tests.hashing import SEAL_BYTES, count_hashed_bytes
from tests.onnx_stand_in import CPU, CUDA, opened_models, stand_in_environment
from tests.scaling_network import write_scaling_network
from tests.wav2lip_weights import home_with

pytest.importorskip("onnxruntime", reason="the extra neural is not installed")

WAV2LIP = ModelIdentity("wav2lip", "1", "a licence", False, 96, "5" * 64, "asked for")
PREPARE = (
    "import json, sys; from fractions import Fraction; from pathlib import Path\n"
    "from lipsync_core import Execution, JobOptions, Workspace, lip_sync\n"
    "from lipsync_core.catalogue import *\n"
    "from lipsync_core.generators.contract import ModelIdentity\n"
    "from lipsync_core.models.store import ModelStore\n"
    "home = Workspace.below(Path(sys.argv[1])); store = ModelStore(home.models)\n"
    "options = JobOptions(model='wav2lip', enhance_quality=True, end_s=Fraction(1, 5))\n"
)

FAILING_LOAD = (
    "from lipsync_core.errors import LipSyncError\n"
    "try:\n    print(load_inference(JobOptions(), store, Execution(sys.argv[2])).identity.label)\n"
    "except LipSyncError as exc:\n    print(exc.code, exc)\n"
)


@pytest.fixture(scope="module")
def home(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose networks cost nothing: Wav2Lip's gives its crop back, GFPGAN's inverts."""
    folder = tmp_path_factory.mktemp("home")
    workspace = home_with(write_echo(folder / "echo.onnx"), folder)
    store = ModelStore(workspace.models)
    ModelInstaller(store).import_file("gfpgan", write_scaling_network(folder / "negative.onnx", -1.0))
    return folder


def opened_by(code: str, log: Path, *arguments: object, providers: str = "") -> list[tuple[str, str]]:
    """The networks that `code` opens, with their providers."""
    output_of(code, stand_in_environment(log, providers), *arguments)
    return opened_models(log)


def output_of(code: str, environment: dict[str, str], *arguments: object) -> str:
    """The standard output of `code` in a process of its own."""
    command = [sys.executable, "-c", PREPARE + code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tracking_and_inferring_open_no_enhancer(home: Path, tmp_path: Path) -> None:
    code = "load_tracking(options, store)\nload_inference(options, store)\n"
    assert opened_by(code, tmp_path / "log", home, providers=CUDA) == [("wav2lip.onnx", CUDA)]


def test_rendering_opens_no_network_but_the_enhancers(home: Path, tmp_path: Path) -> None:
    identity = json.dumps(asdict(WAV2LIP))
    code = "load_rendering(ModelIdentity(**json.loads(sys.argv[2])), options, store, Execution('cpu'))\n"
    assert opened_by(code, tmp_path / "log", home, identity) == [("gfpgan.onnx", CPU)]


def test_a_whole_job_opens_each_network_once(home: Path, face_clip: Path, speech_wav: Path, tmp_path: Path) -> None:
    inputs = (face_clip, speech_wav, tmp_path / "out.mp4")
    code = "lip_sync(*sys.argv[2:], options, home)\n"
    opened = opened_by(code, tmp_path / "log", home, *inputs, providers=CUDA)
    assert opened == [("wav2lip.onnx", CUDA), ("gfpgan.onnx", CUDA)]


@pytest.mark.parametrize("model", ["wav2lip", "auto"])
def test_loading_a_job_hashes_each_model_file_once(model: Model, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.below(home)
    files = [path for path in workspace.models.rglob("*") if path.suffix in (".onnx", ".tflite")]
    files = [path for path in files if path.parent.name != "speech-encoder"]  # only `viseme` hears with it
    networks = [path for path in files if path.suffix == ".onnx"]
    assert len(networks) == 2
    monkeypatch.setattr(content, "_known", {})  # on a busy machine the other row may have read them long ago
    hashed = count_hashed_bytes(monkeypatch)
    load_parts(JobOptions(model=model, enhance_quality=True), ModelStore(workspace.models))
    assert sum(hashed) == sum(path.stat().st_size for path in files) - SEAL_BYTES * len(networks)


@pytest.mark.parametrize("providers", ["cuda", "auto"])
def test_auto_fails_when_the_network_that_it_took_does_not_open(providers: str, home: Path, tmp_path: Path) -> None:
    environment = stand_in_environment(tmp_path / "log", fallback="open_fail")
    done = output_of(FAILING_LOAD, environment, home, providers)
    assert done.startswith("MODEL_INVALID ONNX Runtime ") and done.count("\n") == 1
    assert done.endswith("/wav2lip.onnx: the stand-in opens no file\n")


@pytest.mark.parametrize("providers", ["cuda", "auto"])
def test_a_job_fails_and_writes_nothing_when_its_network_does_not_open(
    providers: str, home: Path, face_clip: Path, speech_wav: Path, tmp_path: Path
) -> None:
    files = (face_clip, speech_wav, "-o", tmp_path / "out.mp4", "--home", home)
    done = subprocess.run(
        [Path(sys.executable).with_name("lipsync"), "run", *files, "--end", "0.2", "--providers", providers, "--quiet"],
        env=stand_in_environment(tmp_path / "log", fallback="open_fail"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr.count("\n")) == (ModelError.exit_status, 1), done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_auto_takes_viseme_where_onnx_runtime_cannot_be_imported_and_says_so(home: Path, tmp_path: Path) -> None:
    code = (
        "sys.modules['onnxruntime'] = None\n"
        "identity = load_inference(JobOptions(), store).identity\n"
        "print(identity.label, identity.reason, sep='|')\n"
    )
    label, reason = output_of(code, stand_in_environment(tmp_path / "log"), home).split("|")
    assert label == "viseme/2"
    assert "wav2lip cannot be used (ONNX Runtime, which runs this model, cannot be imported: " in reason


def test_rendering_needs_neither_weights_nor_onnx_runtime(tmp_path: Path) -> None:
    code = (
        "import dataclasses\n"
        "sys.modules['onnxruntime'] = None\n"
        "plain = dataclasses.replace(options, enhance_quality=False)\n"
        "parts = load_rendering(ModelIdentity(**json.loads(sys.argv[2])), plain, store)\n"
        "assert parts.blender.name == 'poisson'\n"
    )
    assert opened_by(code, tmp_path / "log", tmp_path / "empty", json.dumps(asdict(WAV2LIP))) == []


@pytest.mark.parametrize("enhance_quality", [False, True])
def test_rendering_paints_for_the_model_that_the_other_machine_has(
    enhance_quality: bool, home: Path, workspace: Workspace
) -> None:
    options = JobOptions(enhance_quality=enhance_quality)
    inferring, rendering = ModelStore(Workspace.below(home).models), ModelStore(workspace.models)
    identity = load_inference(options, inferring).identity
    assert identity.label == "wav2lip/1"
    assert load_inference(options, rendering).identity.label == "viseme/2"
    if enhance_quality:
        with pytest.raises(ModelError, match="lipsync models pull gfpgan"):
            load_rendering(identity, options, rendering)
    else:
        parts = load_rendering(identity, options, rendering)
        assert (parts.identity, parts.blender.name) == (identity, "poisson")


@pytest.mark.parametrize(
    "unknown",
    [replace(WAV2LIP, version="2"), replace(WAV2LIP, name="wav2lop"), replace(WAV2LIP, name="viseme", version="0")],
)
def test_painting_fails_when_this_version_does_not_know_the_model(unknown: ModelIdentity) -> None:
    with pytest.raises(ModelError, match=f"cannot paint what {unknown.label} worked out; have all machines"):
        load_painting(unknown)
