"""The choice of the provider that runs the networks; a fallback to the CPU is never silent.

The machines with a GPU are child processes whose ONNX Runtime is the stand-in.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelError
from lipsync_core.execution import Execution
from lipsync_core.providers import choose_provider, provider_account
from lipsync_core.trial_network import INPUT, trial_input, trial_network, trial_result
from tests.onnx_stand_in import CPU, CUDA, TENSORRT, logged_events, opened_models, stand_in_environment
from tests.scaling_network import write_scaling_network
from tests.weighted_network import write_weighted_network

pytest.importorskip("onnxruntime", reason="the extra neural is not installed")

CHOOSE = (
    "import logging, sys; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
    "from lipsync_core.execution import Execution\n"
    "from lipsync_core.providers import choose_provider\n"
    "for _ in range(2):\n"
    "    choice = choose_provider(Execution(*sys.argv[1:]))\n"
    "print(choice.chosen, choice.reason, sep='|')\n"
)
RUN = (
    "import sys; from pathlib import Path\n"
    "import numpy as np\n"
    "from lipsync_core.errors import LipSyncError\n"
    "from lipsync_core.onnx_session import OnnxModel\n"
    "try:\n"
    "    model = OnnxModel(Path(sys.argv[1]), sys.argv[2])\n"
    "    model.run({'x': np.zeros((1, 3, 512, 512), np.float32)})\n"
    "    print('ran on', model.provider)\n"
    "except LipSyncError as exc:\n"
    "    print(exc.code, exc)\n"
)


def child(code: str, environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scaling_network(tmp_path_factory.mktemp("network") / "twice.onnx", 2.0)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weighted_network(tmp_path_factory.mktemp("weighted") / "weighted.onnx")


def test_the_trial_network_is_sound_and_computes_its_stated_result() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx, which knows the file format, is not installed")
    onnx.checker.check_model(onnx.load_from_string(trial_network()), full_check=True)
    from lipsync_core.onnx_session import run_alone

    (result,) = run_alone(trial_network(), "cpu", {INPUT: trial_input()})
    np.testing.assert_array_equal(result, trial_result())
    assert len(np.unique(result)) > 5


def test_auto_takes_what_this_machine_proves_and_says_why() -> None:
    choice = choose_provider(Execution())
    assert choice.requested == "auto" and choice.chosen in ("cuda", "cpu")
    assert choice.reason.startswith("it ran a trial network correctly")
    assert choose_provider(Execution()) is choice is provider_account(Execution(), is_used=True)


def test_auto_takes_cuda_where_it_works_and_tries_it_once(log: Path) -> None:
    done = child(CHOOSE, stand_in_environment(log, f"{TENSORRT},{CUDA}"))
    assert done.stdout == "cuda|it ran a trial network correctly\n"
    assert done.stderr == "networks run on cuda (providers auto): it ran a trial network correctly\n"
    assert [(event.event, event.provider) for event in logged_events(log)] == [("open", CUDA), ("run", CUDA)]


def test_auto_takes_the_cpu_where_there_is_nothing_else(log: Path) -> None:
    chosen, reason = child(CHOOSE, stand_in_environment(log, providers="")).stdout.split("|")
    assert chosen == "cpu"
    assert "cuda is not in this ONNX Runtime" in reason
    assert {event.provider for event in logged_events(log)} == {CPU}


@pytest.mark.parametrize(
    ("fallback", "why"),
    [
        ("opening", "Failed to load library libstandin.so with error: libstandin.so.1: cannot open shared object file"),
        ("nodes", "leaves 1 of 1 nodes to the CPU (Conv)"),
        ("run", "the stand-in's provider failed"),
    ],
)
def test_auto_passes_over_a_provider_that_falls_back_and_says_so(fallback: str, why: str, log: Path) -> None:
    done = child(CHOOSE, stand_in_environment(log, fallback=fallback))
    chosen, reason = done.stdout.split("|")
    assert chosen == "cpu"
    assert "cuda failed its trial: " in reason and why in reason
    assert done.stderr.startswith("networks run on cpu (providers auto): ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("provider", "chosen"), [("cuda", CUDA), ("tensorrt", TENSORRT), ("cpu", CPU)])
def test_a_network_runs_on_the_provider_that_was_asked_for(
    provider: str, chosen: str, network: Path, log: Path
) -> None:
    done = child(RUN, stand_in_environment(log, f"{TENSORRT},{CUDA}"), network, provider)
    assert done.stdout == f"ran on {provider}\n"
    assert [(event.event, event.provider) for event in logged_events(log)] == [("open", chosen), ("run", chosen)]


@pytest.mark.parametrize(
    ("fallback", "error"),
    [
        (
            "opening",
            "BAD_OPTION the cuda provider does not start: Failed to load library libstandin.so with error: "
            "libstandin.so.1: cannot open shared object file; check its driver and libraries, or choose cpu\n",
        ),
        (
            "no_device",
            "BAD_OPTION the cuda provider does not start: CUDA failure 100: no CUDA-capable device is detected; check ",
        ),
        ("nodes", "BAD_OPTION the cuda provider leaves 1 of 2 nodes to the CPU (Mul) in twice.onnx; choose cpu"),
        ("run", "MODEL_INVALID "),
    ],
)
def test_a_network_fails_when_its_provider_falls_back(fallback: str, error: str, network: Path, log: Path) -> None:
    done = child(RUN, stand_in_environment(log, fallback=fallback), network, "cuda")
    assert done.stdout.startswith(error)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert "run" not in {event.event for event in logged_events(log)}


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_a_network_fails_when_an_operator_with_weights_is_left_to_the_cpu(
    operator: str, weighted: Path, log: Path
) -> None:
    done = child(RUN, stand_in_environment(log, fallback=f"nodes:{operator}"), weighted, "cuda")
    assert done.stdout.startswith(f"BAD_OPTION the cuda provider leaves 1 of 4 nodes to the CPU ({operator}) in ")


def test_a_network_may_leave_the_operators_of_shapes_to_the_cpu(weighted: Path, log: Path) -> None:
    assert child(RUN, stand_in_environment(log, fallback="nodes:Shape"), weighted, "cuda").stdout == "ran on cuda\n"


def test_opening_names_the_provider_and_not_its_precision_when_it_is_not_there(network: Path, log: Path) -> None:
    done = child(RUN, stand_in_environment(log, providers=""), network, "tensorrt-fp16")
    assert done.stdout.startswith("BAD_OPTION this ONNX Runtime has no tensorrt provider; ")


def test_opening_fails_when_the_provider_is_not_in_this_onnx_runtime(network: Path, log: Path) -> None:
    done = child(RUN, stand_in_environment(log, providers=""), network, "tensorrt")
    assert done.stdout.startswith("BAD_OPTION this ONNX Runtime has no tensorrt provider; ")
    assert opened_models(log) == []


def test_nothing_is_chosen_before_a_network_is_opened() -> None:
    account = provider_account(Execution("tensorrt"), is_used=True)
    assert (account.requested, account.chosen) == ("tensorrt", None)


def test_the_choice_of_another_job_is_not_that_of_a_job_without_networks() -> None:
    choose_provider(Execution())
    assert provider_account(Execution(), is_used=False).chosen is None


def test_choosing_fails_when_onnx_runtime_is_not_installed(log: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from lipsync_core.errors import ModelError\n"
        "from lipsync_core.execution import Execution\n"
        "from lipsync_core.providers import choose_provider\n"
        "try:\n    choose_provider(Execution())\nexcept ModelError as exc:\n    print(exc.remedy)\n"
    )
    assert "pip install 'lipsync[neural]'" in child(code, stand_in_environment(log)).stdout


def test_a_wrong_result_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from lipsync_core import provider_trial

    monkeypatch.setattr(provider_trial, "trial_result", lambda: trial_result() + 1)
    with pytest.raises(ModelError, match="its result is wrong"):
        provider_trial.try_provider("cpu")
