"""The client of a model server: what it sends, which failures it sits out, and what it refuses."""

from dataclasses import replace

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.errors import (
    ModelError,
    ModelMismatchError,
    ModelMissingError,
    ModelServerBusyError,
    ModelServerDownError,
    OptionError,
    TransientError,
)
from lipsync_core.server_address import host_and_port
from lipsync_core.serving.client import ServedModel
from lipsync_core.serving.patience import Patience
from tests.serving.stand_in_server import StandInServer, serving
from tests.wav2lip_weights import seeded_pictures

SHORT = Patience(deadline_s=10.0, down_s=0.4, full_s=0.4, first_pause_s=0.01, longest_pause_s=0.05)
LONG = replace(SHORT, down_s=60.0, full_s=60.0)
FULL = "[request id: <id_unknown>] Exceeds maximum queue size"
LATE = "Request timeout expired"


def spoken(model: ServedModel, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The patches that the server gives, and those of the echo: the crops' own rows."""
    mel, crops = seeded_pictures(frames)
    (patches,) = model.run({"mel": mel, "crops": crops}, ("patches",))
    return patches, crops[:, 43:]


@pytest.mark.parametrize(("frames", "batches"), [(1, [1]), (64, [64]), (150, [64, 64, 22])])
def test_requests_hold_no_more_rows_than_a_batch_of_the_server(
    server: StandInServer, address: str, frames: int, batches: list[int]
) -> None:
    model = ServedModel(address, "wav2lip", patience=SHORT)
    patches, expected = spoken(model, frames)
    np.testing.assert_array_equal(patches, expected)
    assert server.batches == batches
    assert model.counts.requests == len(batches)
    patches[0] = 0  # a caller may write into its results, as into those of this process


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "NOT_FOUND", "CANCELLED"])
def test_a_failure_that_may_pass_is_tried_again(server: StandInServer, address: str, status: str) -> None:
    model = ServedModel(address, "wav2lip", patience=LONG)
    server.faults = [(grpc.StatusCode[status], "the stub process is not healthy")] * 3
    patches, expected = spoken(model, 3)
    np.testing.assert_array_equal(patches, expected)
    assert (model.counts.requests, model.counts.retries, model.counts.rejections) == (1, 3, 0)


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "UNIMPLEMENTED", "PERMISSION_DENIED", "UNKNOWN"])
def test_a_request_that_the_server_refuses_is_not_tried_again(server: StandInServer, address: str, status: str) -> None:
    model = ServedModel(address, "wav2lip", patience=LONG)
    server.faults = [(grpc.StatusCode[status], "unexpected shape")]
    with pytest.raises(ModelError, match=f"refuses the request: {status}: unexpected shape") as caught:
        spoken(model, 3)
    assert not isinstance(caught.value, TransientError)
    assert (server.asked, model.counts.retries) == (1, 0)


@pytest.mark.parametrize(
    ("status", "message"), [("UNAVAILABLE", FULL), ("UNAVAILABLE", LATE), ("RESOURCE_EXHAUSTED", "too much")]
)
def test_a_full_queue_is_waited_for_and_counted(server: StandInServer, address: str, status: str, message: str) -> None:
    model = ServedModel(address, "wav2lip", patience=replace(LONG, down_s=0.01))
    server.faults = [(grpc.StatusCode[status], message)] * 4
    patches, expected = spoken(model, 2)
    np.testing.assert_array_equal(patches, expected)
    assert (model.counts.retries, model.counts.rejections) == (0, 4)


def test_waiting_for_a_full_queue_ends(server: StandInServer, address: str) -> None:
    model = ServedModel(address, "wav2lip", patience=SHORT)
    server.faults = [(grpc.StatusCode.UNAVAILABLE, FULL)] * 1000
    with pytest.raises(ModelServerBusyError, match="has been full") as caught:
        spoken(model, 2)
    assert (caught.value.code, caught.value.exit_status) == ("MODEL_SERVER_BUSY", 75)


def test_waiting_for_a_server_that_is_down_ends(server: StandInServer) -> None:
    with serving(server) as address:
        model = ServedModel(address, "wav2lip", patience=SHORT)
    with pytest.raises(ModelServerDownError, match="has not answered") as caught:
        spoken(model, 2)
    assert (caught.value.code, caught.value.exit_status) == ("MODEL_SERVER_DOWN", 75)
    with pytest.raises(ModelServerDownError):
        ServedModel(address, "wav2lip", patience=SHORT)


def test_a_caller_outlives_a_restart_of_the_server(server: StandInServer) -> None:
    with serving(server) as address:
        model = ServedModel(address, "wav2lip", patience=LONG)
    with serving(server, port=int(address.rpartition(":")[2])):
        patches, expected = spoken(model, 5)
    np.testing.assert_array_equal(patches, expected)


def test_a_server_that_is_not_ready_is_waited_for(server: StandInServer, address: str) -> None:
    server.is_ready = False
    with pytest.raises(ModelServerDownError, match="not ready"):
        ServedModel(address, "wav2lip", patience=SHORT)


def test_a_model_that_the_server_lacks_is_missing_at_once(address: str) -> None:
    with pytest.raises(ModelMissingError, match="it serves wav2lip"):
        ServedModel(address, "gfpgan", patience=LONG)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "wav2lip-gan"),
        ("version", "2"),
        ("licence", "MIT"),
        ("weights_sha256", "0" * 64),
        ("precision", "fp16"),
    ],
)
def test_opening_fails_when_the_server_holds_something_else(address: str, field: str, value: str) -> None:
    held = ServedModel(address, "wav2lip", patience=SHORT).identity
    assert held is not None
    assert ServedModel(address, "wav2lip", held, SHORT).identity == held
    with pytest.raises(ModelMismatchError, match=f"has {field.replace('_', ' ')}"):
        ServedModel(address, "wav2lip", replace(held, **{field: value}), SHORT)


def test_opening_fails_when_a_model_does_not_say_what_it_is(server: StandInServer, address: str) -> None:
    held = ServedModel(address, "wav2lip", patience=SHORT).identity
    server.configs["wav2lip"].parameters.clear()
    with pytest.raises(ModelMismatchError, match="does not say what it is"):
        ServedModel(address, "wav2lip", held, SHORT)


def test_a_canary_runs_the_model(server: StandInServer, address: str) -> None:
    model = ServedModel(address, "wav2lip", patience=SHORT)
    model.check()
    assert server.batches == [1]
    server.faults = [(grpc.StatusCode.INTERNAL, "the stub is dead")] * 1000
    with pytest.raises(ModelServerDownError, match="the stub is dead"):
        model.check()


def test_inputs_of_different_lengths_are_refused_before_they_are_sent(server: StandInServer, address: str) -> None:
    model = ServedModel(address, "wav2lip", patience=SHORT)
    mel, crops = seeded_pictures(3)
    with pytest.raises(ModelError, match="same number of rows"):
        model.run({"mel": mel[:2], "crops": crops})
    with pytest.raises(ModelError, match="takes no float64"):
        model.run({"mel": mel.astype(np.float64), "crops": crops})
    assert server.asked == 0


@pytest.mark.parametrize(
    "address", ["", "localhost:8001", "http://host:8001", "grpc://host", "grpc://:8001", "grpc://u:p@h:1", "grpc://h:x"]
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="grpc://HOST:PORT"):
        host_and_port(address)


def test_patience_has_limits_above_zero() -> None:
    with pytest.raises(OptionError, match="not above 0"):
        Patience(down_s=0.0)
