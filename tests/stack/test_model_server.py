"""Jobs of the service whose networks a real model server runs: it is killed, stays away, or has a full queue."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from lipsync_core.models.store import ModelStore
from lipsync_core.serving.repository import export_repository
from lipsync_service.names import TIMINGS_ARTIFACT
from tests.echo_network import write_echo
from tests.model_server.callers import MODEL, Callers
from tests.model_server.conftest import WaitUntil, wait_until
from tests.model_server.repository import changed_config, held, serve_by_python
from tests.model_server.triton import TritonServer, running_server
from tests.model_server.wheel import needs_triton
from tests.servers import about_to_start
from tests.stack.conftest import running_stack
from tests.thorough import thorough
from tests.wav2lip_weights import home_with

if TYPE_CHECKING:
    from tests.stack.conftest import Service

pytestmark = needs_triton
__all__ = ["wait_until"]

_ROWS = 8  # of a batch, and of each request
_REQUESTS = 5  # of a job: for 1.5 s at 25 frames/s
#: Lines of the server's log, one for each request.
_BEGUN, _REFUSED = "from PENDING to EXECUTING", "FAILED_ENQUEUE"
_WAIT_S = 40  # of a job for the server; it starts in some seconds
_INFER = (
    "SELECT served_requests, served_retries, served_rejections, served_wait_s, provider FROM stage_timings"
    " WHERE job_id = %s AND stage = 'infer' AND part_of = ''"
)


@dataclass(frozen=True)
class ServedStack:
    """A stack whose workers ask a model server, with a queue of one request; its network has a GPU's timing."""

    service: "Service"
    server: TritonServer
    model: Path  # in the server's folder
    inputs: tuple[Path, Path]

    def start(self) -> str:
        """Start a job that no earlier job has made a part of, though its pictures and sounds are the same."""
        video, audio = self.inputs
        name = uuid4()
        box = b"\0\0\0\x18free" + name.bytes  # an MP4 box that readers skip
        copy = video.with_name(f"{name}.mp4")
        copy.write_bytes(video.read_bytes() + box)
        request = {
            "video": self.service.put(copy, f"in/{copy.name}"),
            "audio": self.service.put(audio, "in/speech.wav"),
            "provenance": False,  # movies are compared byte by byte
            "output": f"s3://lipsync/out/{name}.mp4",
            "model": MODEL,
        }
        return self.service.start(request)

    def movie(self, run_id: str) -> bytes:
        """The result of a job, once it has completed."""
        run = self.service.finished(run_id)
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
        key = run["parameters"]["request"]["output"].removeprefix("s3://lipsync/")
        return self.service.get(key, self.inputs[0].with_name("movie.mp4")).read_bytes()

    def logged(self, words: str) -> int:
        """The number of requests of which the server's log says this."""
        return self.server.log.read_text(errors="replace").count(words)

    def notes(self, run_id: str) -> str:
        """The notes on the stage `infer` in the tables of times."""
        runs = [run_id, *(child["id"] for child in self.service.children(run_id))]
        tables = [self.service.artifacts(each).get(TIMINGS_ARTIFACT, {}).get("data", "[]") for each in runs]
        return "\n".join(tables)


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, model_store: object, face: Path, speech: Path
) -> Iterator[ServedStack]:
    folder = tmp_path_factory.mktemp("served")
    workspace = home_with(write_echo(folder / "echo.onnx"), folder / "data" / "lipsync")
    model = folder / "models" / MODEL
    export_repository(ModelStore(workspace.models), model.parent)
    serve_by_python(model, "timed")
    with changed_config(model) as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 1
        config.max_batch_size = _ROWS
    about_to_start("Triton's server")
    with running_server(model.parent, folder, ("--log-verbose=1",)) as server:
        settings = {
            "XDG_DATA_HOME": str(folder / "data"),
            "LIPSYNC_MODEL_SERVER": server.url,
            "LIPSYNC_MODEL_SERVER_WAIT_S": str(_WAIT_S),
        }
        with running_stack(folder / "stack", **settings) as service:
            yield ServedStack(service, server, model, (face, speech))


@pytest.fixture(scope="module")
def movie(stack: ServedStack) -> bytes:
    """The result of a job without any trouble."""
    run_id = stack.start()
    movie = stack.movie(run_id)
    assert stack.service.ledger(_INFER, run_id) == [(_REQUESTS, 0, 0, 0.0, "server")]
    return movie


@thorough
def test_a_job_whose_server_is_killed_amid_inference_and_started_again_makes_the_same_movie(
    stack: ServedStack, movie: bytes, wait_until: WaitUntil
) -> None:
    begun = stack.logged(_BEGUN)
    with held(stack.model):
        other = Callers(stack.server.url, 1, _ROWS)
        wait_until(lambda: stack.logged(_BEGUN) > begun)
        run_id = stack.start()
        wait_until(lambda: stack.server.waiting_requests(MODEL) == 1)  # the job's
        stack.server.kill()
    stack.server.start()
    assert stack.movie(run_id) == movie
    [(requests, retries, _, waited_s, _)] = stack.service.ledger(_INFER, run_id)  # the other may fill the queue first
    assert requests == _REQUESTS
    assert retries >= 1
    assert waited_s > 0
    assert all(told.is_right for told in other.told())


@thorough
def test_a_job_fails_in_one_line_when_its_server_does_not_come_back(stack: ServedStack, wait_until: WaitUntil) -> None:
    begun = stack.logged(_BEGUN)
    with held(stack.model):
        other = Callers(stack.server.url, 1, _ROWS)
        wait_until(lambda: stack.logged(_BEGUN) > begun)
        run_id = stack.start()
        wait_until(lambda: stack.server.waiting_requests(MODEL) == 1)
        stack.server.kill()
    try:
        run = stack.service.finished(run_id)
    finally:
        stack.server.start()
    other.told()
    assert run["state"]["type"] == "FAILED"
    message: str = run["state"]["message"]
    assert "MODEL_SERVER_DOWN" in message
    assert f"has not answered for {_WAIT_S} s" in message
    assert "\n" not in message
    assert stack.service.ledger("SELECT error_code FROM jobs WHERE id = %s", run_id) == [("MODEL_SERVER_DOWN",)]
    [(requests, retries, _, waited_s, _)] = stack.service.ledger(_INFER, run_id)
    assert requests == 0
    assert retries > 1
    assert waited_s >= _WAIT_S  # and the stage was not started again for another such time
    assert waited_s < 2 * _WAIT_S


def test_a_full_queue_is_counted_in_the_ledger_and_shown(
    stack: ServedStack, movie: bytes, wait_until: WaitUntil
) -> None:
    with held(stack.model):
        others = Callers(stack.server.url, 2, _ROWS)
        wait_until(lambda: stack.server.waiting_requests(MODEL) == 1)
        refused = stack.logged(_REFUSED)
        run_id = stack.start()
        wait_until(lambda: stack.logged(_REFUSED) > refused)
    assert stack.movie(run_id) == movie
    [(requests, retries, rejections, waited_s, _)] = stack.service.ledger(_INFER, run_id)
    assert (requests, retries) == (_REQUESTS, 0)
    assert rejections >= 1
    assert waited_s > 0
    assert f"model server: {requests} requests, 0 tried again, {rejections} refused by a full queue" in stack.notes(
        run_id
    )
    assert all(told.is_right for told in others.told())
