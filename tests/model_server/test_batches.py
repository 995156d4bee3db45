"""One server for all runs: batches form across callers and change no result, and there is one copy of the model."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from lipsync_core.serving.client import ServedModel
from tests.model_server.callers import MODEL, Callers, ask, clip_of
from tests.model_server.conftest import WaitUntil
from tests.model_server.repository import held
from tests.model_server.triton import TritonServer
from tests.model_server.wheel import needs_triton
from tests.servers import starts_servers

pytestmark = [starts_servers, needs_triton]

_CALLERS, _FRAMES = 16, 8
#: Far less than one more copy of the stand-in's weights, 100 MB.
_CONNECTIONS_BYTES = 50_000_000


def test_batches_of_several_callers_form_and_change_no_result(
    triton: TritonServer, stand_in: Path, wait_until: WaitUntil
) -> None:
    before = triton.statistics(MODEL)
    with held(stand_in):  # the first run of the network waits until all other callers queue behind it
        callers = Callers(triton.url, _CALLERS, _FRAMES)
        wait_until(lambda: triton.waiting_requests(MODEL) >= _CALLERS - 64 // _FRAMES)
    together = callers.told()
    counted = triton.statistics(MODEL).since(before)
    assert counted.frames == _CALLERS * _FRAMES
    assert counted.executions < _CALLERS
    assert max(counted.batches) >= 2 * _FRAMES
    assert all(told.is_right for told in together)


def test_a_batch_gives_bit_for_bit_what_the_caller_gets_alone(triton: TritonServer) -> None:
    together = Callers(triton.url, _CALLERS, _FRAMES).told()
    for told in together[:4]:
        model = ServedModel(triton.url, MODEL)
        rows = [model.run({name: array[row : row + 1] for name, array in told.clip.feeds.items()}) for row in range(8)]
        model.close()
        assert np.array_equal(told.answers[0], np.concatenate([patches for (patches,) in rows]))


def test_a_clip_of_more_frames_than_a_batch_comes_back_in_order(triton: TritonServer) -> None:
    before = triton.statistics(MODEL)
    told = ask(triton.url, clip_of(seed=99, frames=150))
    assert told.is_right
    assert told.counts.requests == 3
    assert triton.statistics(MODEL).since(before).batches == {64: 2, 22: 1}


def test_all_callers_share_one_copy_of_the_model(triton: TritonServer) -> None:
    Callers(triton.url, _CALLERS, _FRAMES, times=3).told()  # the server's buffers grow to its largest batch
    (before,) = triton.stubs()
    memory = {}
    for count in (1, _CALLERS):
        assert all(told.is_right for told in Callers(triton.url, count, _FRAMES, times=3).told())
        memory[count] = triton.memory_bytes()
    assert triton.stubs() == [before]
    assert memory[1] > 100_000_000  # the copy is counted
    assert memory[_CALLERS] - memory[1] < _CONNECTIONS_BYTES


def test_a_caller_loads_no_network_of_its_own(triton: TritonServer) -> None:
    script = (
        "import sys; from tests.model_server.callers import ask, clip_of;"
        f"print(ask({triton.url!r}, clip_of(1, 4)).is_right, 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "False"], done.stderr
