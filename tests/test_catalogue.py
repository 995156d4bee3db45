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
from lipsync_core.catalogue import load_inference, load_painting, load_rendering
from lipsync_core.errors import ModelError
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from tests.echo_network import write_echo
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
    command = [sys.executable, "-c", PREPARE + code, *map(str, arguments)]
    environment = stand_in_environment(log, providers)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return opened_models(log)


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
    assert load_inference(options, rendering).identity.label == "viseme/1"
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
