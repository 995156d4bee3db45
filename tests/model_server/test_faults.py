"""What a fault of the server or of one caller does to the others: they complete, with the right frames."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import (
    ModelError,
    ModelMismatchError,
    ModelMissingError,
    ModelServerBusyError,
    ModelServerDownError,
)
from lipsync_core.serving.client import ServedModel
from tests.model_server.callers import MODEL, PATIENCE, Callers, Told, ask, clip_of
from tests.model_server.conftest import WaitUntil
from tests.model_server.repository import IDENTITY, changed_config, held, write_stand_in
from tests.model_server.triton import LOOPBACK, TritonServer, free_ports, is_answered, running_server
from tests.model_server.wheel import needs_triton
from tests.servers import about_to_start, starts_servers

pytestmark = [starts_servers, needs_triton]

_CALLERS, _FRAMES = 8, 8


def retries(told: list[Told]) -> int:
    return sum(each.counts.retries for each in told)


def test_a_server_killed_amid_requests_and_started_again_completes_them(
    triton: TritonServer, stand_in: Path, wait_until: WaitUntil
) -> None:
    with held(stand_in):
        callers = Callers(triton.url, _CALLERS, _FRAMES, times=3)
        wait_until(lambda: triton.waiting_requests(MODEL) > 0)  # hence another is in the network
        triton.kill()
    assert triton.processes() == []
    assert not triton.is_listening()
    triton.start()
    told = callers.told()
    assert all(each.is_right for each in told)
    assert retries(told) >= _CALLERS


def test_a_server_stopped_amid_requests_and_started_again_completes_them(triton: TritonServer) -> None:
    callers = Callers(triton.url, _CALLERS, _FRAMES, is_busy=True)
    triton.stop()
    assert triton.processes() == []
    assert not triton.is_listening()
    triton.start()
    told = callers.told()
    assert all(each.is_right for each in told)
    assert retries(told) > 0


def test_a_dead_backend_behind_a_ready_server_is_noticed_by_a_canary(
    triton: TritonServer, stand_in: Path, wait_until: WaitUntil
) -> None:
    model = ServedModel(triton.url, MODEL, patience=replace(PATIENCE, down_s=0.5))
    (stub,) = triton.stubs()
    with held(stand_in):
        callers = Callers(triton.url, _CALLERS, _FRAMES)
        wait_until(lambda: triton.waiting_requests(MODEL) > 0)
        stub.kill()
        wait_until(lambda: stub not in triton.stubs())
    with pytest.raises(ModelServerDownError):
        model.check()
    model.close()
    assert triton.is_ready()  # Triton starts no other stub and still says so: hence somebody must end the server
    triton.kill()
    triton.start()
    with closing(ServedModel(triton.url, MODEL, patience=PATIENCE)) as patient:
        patient.check()
    told = callers.told()
    assert all(each.is_right for each in told)
    assert retries(told) > 0


def test_a_model_loaded_anew_under_load_fails_nobody(triton: TritonServer, wait_until: WaitUntil) -> None:
    (stub,) = triton.stubs()
    callers = Callers(triton.url, _CALLERS, _FRAMES, is_busy=True)
    triton.reload(MODEL)
    wait_until(lambda: stub not in triton.stubs())  # the old copy goes when its last request is answered
    assert all(each.is_right for each in callers.told())
    assert len(triton.stubs()) == 1


@contextmanager
def server_of_a_short_queue(folder: Path, batch: int) -> Iterator[tuple[TritonServer, Path]]:
    """`batch` is that of a model that takes batches, of one request; 0: it takes no batches, as GFPGAN."""
    about_to_start("Triton's server")
    model = write_stand_in(folder / "models")
    with changed_config(model) as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 2
        config.max_batch_size = batch
        for tensor in () if batch else (*config.input, *config.output):
            tensor.dims.insert(0, _FRAMES)
    with running_server(model.parent, folder) as server:
        yield server, model


@pytest.mark.parametrize("batch", [_FRAMES, 0])
def test_a_full_queue_makes_callers_wait_and_fails_none(tmp_path: Path, wait_until: WaitUntil, batch: int) -> None:
    with server_of_a_short_queue(tmp_path, batch) as (server, model):
        with held(model):
            callers = Callers(server.url, _CALLERS, _FRAMES)
            wait_until(lambda: server.waiting_requests(MODEL) == 2)
            impatient = replace(PATIENCE, full_s=0.5)
            with pytest.raises(ModelServerBusyError):
                ask(server.url, clip_of(77, _FRAMES), patience=impatient)
        told = callers.told()
    assert all(each.is_right for each in told)
    assert sum(each.counts.rejections for each in told) >= _CALLERS - 3
    assert retries(told) == 0


def test_a_slow_or_dying_caller_stalls_nobody(triton: TritonServer, stand_in: Path, wait_until: WaitUntil) -> None:
    script = f"from tests.model_server.callers import *; ask({triton.url!r}, clip_of(1, 64), times=1000)"
    with socket.create_connection((LOOPBACK, triton.grpc_port)) as silent, held(stand_in):
        silent.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x40\x00\x00")  # a connection and half a frame
        others = [subprocess.Popen([sys.executable, "-c", script], process_group=0) for _ in range(2)]
        try:
            wait_until(lambda: triton.waiting_requests(MODEL) > 0)
            frozen, dead = others
            os.kill(frozen.pid, signal.SIGSTOP)  # its answer of 1 MB stays on the way
            dead.kill()
            callers = Callers(triton.url, _CALLERS, _FRAMES, times=3)
            (stand_in / "1" / "held").unlink()
            told = callers.told()
            (stand_in / "1" / "held").touch()
        finally:
            for each in others:
                each.kill()
                each.wait()
    assert all(each.is_right for each in told)
    assert retries(told) == 0


def test_a_request_that_does_not_fit_is_sent_once(triton: TritonServer) -> None:
    model = ServedModel(triton.url, MODEL, patience=PATIENCE)
    clip = clip_of(5, 2)
    with pytest.raises(ModelError, match="INVALID_ARGUMENT"):
        model.run({"crops": clip.crops[:, :48], "mel": clip.mel})
    assert (model.counts.requests, model.counts.retries, model.counts.rejections) == (0, 0, 0)
    assert np.array_equal(model.run(clip.feeds)[0], clip.mouths)  # the connection works on
    model.close()


def test_a_server_with_other_weights_is_refused(triton: TritonServer) -> None:
    assert ServedModel(triton.url, MODEL, expected=IDENTITY).identity == IDENTITY
    with pytest.raises(ModelMismatchError, match="weights"):
        ServedModel(triton.url, MODEL, expected=replace(IDENTITY, weights_sha256="f" * 64))
    with pytest.raises(ModelMissingError, match="serves wav2lip"):
        ServedModel(triton.url, "gfpgan", patience=PATIENCE)


def test_a_server_that_stays_away_is_an_error_in_the_end() -> None:
    (port,) = free_ports(1)
    with pytest.raises(ModelServerDownError, match="has not answered"):
        ServedModel(f"grpc://{LOOPBACK}:{port}", MODEL, patience=replace(PATIENCE, down_s=0.3))


def test_a_server_is_gone_when_its_tests_are_killed(tmp_path: Path, wait_until: WaitUntil) -> None:
    about_to_start("Triton's server")
    repository = write_stand_in(tmp_path / "models").parent
    script = (
        "import sys, time; from pathlib import Path; from tests.model_server.triton import running_server\n"
        "with running_server(Path(sys.argv[1]), Path(sys.argv[2])) as server:\n"
        "    print(server.grpc_port, flush=True); time.sleep(600)"
    )
    tests = subprocess.Popen([sys.executable, "-c", script, repository, tmp_path], stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    port = int(tests.stdout.readline())
    tests.kill()
    tests.communicate()
    wait_until(lambda: not is_answered(port))
