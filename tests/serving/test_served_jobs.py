"""Whole jobs whose networks a model server runs: the same movie, and no network in this process."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from lipsync_core.errors import LicenceError, ModelMismatchError, ModelMissingError
from lipsync_core.execution import Execution
from lipsync_core.model_source import check_server, usable_model
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from tests.echo_network import write_echo
from tests.serving.stand_in_server import StandInServer, serving
from tests.wav2lip_weights import home_with

_UNSIGNED = "--no-provenance"  # signatures differ
LIPSYNC = Path(sys.executable).with_name("lipsync")


def run_job(home: Path, output: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inputs = [output.parent / "face.mp4", output.parent / "speech.wav"]
    chosen = ["--model", "wav2lip", "--end", "0.4", "--json", "--quiet", "--home", home, *options]
    return subprocess.run(
        [LIPSYNC, "run", *inputs, "-o", output, *chosen],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path, face_clip: Path, speech_wav: Path) -> Path:
    (tmp_path / "face.mp4").symlink_to(face_clip)
    (tmp_path / "speech.wav").symlink_to(speech_wav)
    return tmp_path


def test_a_served_job_makes_the_same_movie_as_one_in_this_process(
    folder: Path, echo_home: Path, server: StandInServer, address: str
) -> None:
    own = run_job(echo_home, folder / "own.mp4", _UNSIGNED)
    served = run_job(echo_home, folder / "served.mp4", _UNSIGNED, LIPSYNC_MODEL_SERVER=address)
    assert (own.returncode, served.returncode) == (0, 0), served.stderr
    assert (folder / "own.mp4").read_bytes() == (folder / "served.mp4").read_bytes()
    report = json.loads(served.stdout)
    assert sum(server.batches) == report["frames"]["synced"] == 10
    assert report["providers"]["chosen"] == "server"
    assert address in report["providers"]["reason"]
    assert {row["stage"]: row["provider"] for row in report["stages"]}["infer"] == "server"
    assert json.loads(own.stdout)["providers"]["chosen"] == "cpu"


def test_the_report_and_the_ledger_say_what_a_job_lost_to_its_server(
    folder: Path, echo_home: Path, server: StandInServer, address: str
) -> None:
    pytest.importorskip("sqlalchemy", reason="the extra service is not installed")
    server.faults = [
        (grpc.StatusCode.UNAVAILABLE, "gone"),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
    ]
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    done = run_job(echo_home, folder / "out.mp4", "--model-server", address, "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    stages = {row["stage"]: row["served"] for row in json.loads(done.stdout)["stages"]}
    counts = stages.pop("infer")
    assert counts.pop("waited_s") > 0
    assert counts == {"requests": 2, "retries": 1, "rejections": 1}  # of ten frames, in batches of eight
    assert set(stages.values()) == {None}
    query = "SELECT served_requests, served_retries, served_rejections, served_wait_s > 0 FROM stage_timings"
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        found = connection.execute(f"{query} WHERE served_requests IS NOT NULL").fetchall()
    assert found == [(2, 1, 1, 1)]


def test_a_served_job_needs_no_onnx_runtime(folder: Path, echo_home: Path, address: str) -> None:
    (folder / "onnxruntime.py").write_text("raise ImportError('absent')")
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = run_job(echo_home, folder / "out.mp4", "--model-server", address, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"]["synced"] == 10


def test_a_job_fails_when_the_server_holds_other_weights(folder: Path, tmp_path: Path, address: str) -> None:
    other = home_with(write_echo(tmp_path / "other.onnx", first_row=40), tmp_path / "other home")
    done = run_job(tmp_path / "other home", folder / "out.mp4", "--model-server", address)
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "MODEL_MISMATCH" in done.stderr and "weights sha256" in done.stderr
    assert not (folder / "out.mp4").exists()
    with pytest.raises(ModelMismatchError):
        usable_model("wav2lip", ModelStore(other.models), Execution(model_server=address))


def test_a_job_fails_in_one_line_when_its_server_does_not_answer_for_as_long_as_it_may_wait(
    folder: Path, echo_home: Path, server: StandInServer
) -> None:
    with serving(server) as address:
        pass  # its port is free again
    chosen = ("--model-server", address, "--model-server-wait")
    done = run_job(echo_home, folder / "out.mp4", *chosen, "0.3")
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert "MODEL_SERVER_DOWN" in done.stderr and "has not answered for 0.3 s" in done.stderr
    done = run_job(echo_home, folder / "out.mp4", *chosen, "0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "model-server-wait is 0" in done.stderr


def test_without_a_file_here_the_registered_weights_are_expected(
    echo_home: Path, tmp_path: Path, server: StandInServer, address: str
) -> None:
    store = ModelStore(Workspace.below(tmp_path).models)
    served = Execution(model_server=address)
    with pytest.raises(LicenceError):
        usable_model("wav2lip", store, served)
    entry = store.entry("wav2lip")
    store.licences.accept(entry, entry.sums)
    with pytest.raises(ModelMismatchError, match="weights sha256"):
        usable_model("wav2lip", store, served)
    server.configs["wav2lip"].parameters["lipsync_weights_sha256"].string_value = entry.sums[0]
    assert usable_model("wav2lip", store, served).weights_sha256 == entry.sums[0]


def test_the_check_of_a_worker_runs_a_canary_through_each_usable_model(
    store: ModelStore, tmp_path: Path, server: StandInServer, address: str
) -> None:
    assert check_server(store, Execution(model_server=address)) == ("wav2lip",)
    assert server.batches == [1]
    with pytest.raises(ModelMissingError, match="serves no model that may be used here"):
        check_server(ModelStore(tmp_path), Execution(model_server=address))


def test_a_worker_without_a_gpu_proves_its_model_server(
    echo_home: Path, tmp_path: Path, server: StandInServer, address: str
) -> None:
    pytest.importorskip("pydantic_settings", reason="the extra service is not installed")
    (tmp_path / "lipsync").symlink_to(echo_home)
    command = [sys.executable, "-m", "lipsync_service.worker.provider_check"]
    variables = {
        "LIPSYNC_PROVIDERS": "cuda",  # of a GPU that this machine lacks
        "LIPSYNC_MODEL_SERVER": address,
        "XDG_DATA_HOME": str(tmp_path),
    }
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wav2lip" in done.stdout and address in done.stdout
    assert server.batches == [1]
    variables["XDG_DATA_HOME"] = str(tmp_path / "nobody")
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "MODEL_MISSING" in done.stderr


def doctor(home: Path, address: str, *options: str) -> tuple[int, str]:
    """Exit status and output of the command in a process of its own: gRPC's threads of this one survive no fork."""
    command = "import sys; from lipsync_cli.main import main; sys.exit(main())"
    arguments = ["doctor", *options, "--home", str(home), "--model-server", address]
    done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_doctor_asks_the_model_server(echo_home: Path, server: StandInServer, address: str) -> None:
    status, output = doctor(echo_home, address, "--json")
    assert status == 0
    checks = {check["name"]: check for check in json.loads(output)["checks"]}
    assert checks["model server"]["is_ok"] and "wav2lip" in checks["model server"]["detail"]
    server.configs["wav2lip"].parameters["lipsync_precision"].string_value = "fp16"
    status, output = doctor(echo_home, address)
    assert status == 0
    assert f"wav2lip answer at {address}, in fp16" in output
    server.configs["wav2lip"].parameters.clear()
    status, output = doctor(echo_home, address, "--json")
    assert status == 1
    checks = {check["name"]: check for check in json.loads(output)["checks"]}
    assert "does not say what it is" in checks["model server"]["detail"]
