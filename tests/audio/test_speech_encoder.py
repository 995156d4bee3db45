"""The speech encoder against ONNX Runtime on the same windows, and as a stream."""

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder, first_row, surroundings
from lipsync_core.audio.speech_features import WINDOW, speech_features
from lipsync_core.audio.speech_network import open_network
from lipsync_core.errors import ModelCorruptError
from lipsync_core.models.store import ModelStore
from lipsync_core.threads import no_thread_pools
from tests.sounds import read_speech
from tests.thorough import first_rows

OUTPUTS = ("add_268", "add_390")
RATE_HZ = 16_000


@pytest.fixture(scope="session")
def encoder_file(model_store: ModelStore) -> Path:
    return model_store.verify(MODEL).path("encoder")


@pytest.fixture
def encoder(encoder_file: Path) -> Iterator[SpeechEncoder]:
    with no_thread_pools():
        yield SpeechEncoder.open(encoder_file)


def outputs_of(model: onnx.ModelProto, features: NDArray[np.float32], is_optimised: bool) -> NDArray[np.float32]:
    """(400, 2, 384) by ONNX Runtime."""
    import onnxruntime

    for name in OUTPUTS:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not is_optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {"input_features": np.ascontiguousarray(features.T)[None]})
    return np.stack([layer[0] for layer in found], axis=1)


def without_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its activations left as they are, where it rounds them to 8 bits."""
    rounded = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    plain = {
        node.output[0]: rounded[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded
    }
    kept = [node for node in model.graph.node if node.output[0] not in plain and node.op_type != "QuantizeLinear"]
    for node in kept:
        node.input[:] = [plain.get(name, name) for name in node.input]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.fixture
def window() -> NDArray[np.int16]:
    window = read_speech(8.0)
    window[:48_000] = 0
    return window


def test_the_network_is_that_of_the_file(encoder_file: Path, window: NDArray[np.int16]) -> None:
    features = speech_features(window)
    heard = open_network(encoder_file).heard(features)
    wanted = outputs_of(without_rounding(onnx.load(str(encoder_file))), features, is_optimised=False)
    assert heard.shape == wanted.shape == (400, 2, 384)
    for layer in range(2):
        assert correlation(heard[:, layer], wanted[:, layer]) > 0.9999


def test_the_network_hears_what_it_hears_with_activations_of_8_bits(
    encoder_file: Path, window: NDArray[np.int16]
) -> None:
    """ONNX Runtime rounds them; its own results with and without optimisation correlate at .998 and .96 only."""
    features = speech_features(window)
    heard = open_network(encoder_file).heard(features)
    rounded = outputs_of(onnx.load(str(encoder_file)), features, is_optimised=True)
    assert correlation(heard[:, 0], rounded[:, 0]) > 0.97
    assert correlation(heard[:, 1], rounded[:, 1]) > 0.85


def rows_of(
    encoder: SpeechEncoder, sound: NDArray[np.int16], block: int = 4000, first_s: int = 0
) -> NDArray[np.float32]:
    blocks = (sound[start : start + block] for start in range(0, len(sound), block))
    return np.concatenate(list(encoder.encode(blocks, first_s)))


@pytest.mark.parametrize("samples", [1, 320, 321, 16_000, 96_000, 96_001, 160_000, 160_320])
def test_there_is_a_row_for_every_20_ms_begun(encoder: SpeechEncoder, samples: int) -> None:
    rows = rows_of(encoder, read_speech(samples / RATE_HZ))
    assert rows.shape == (-(-samples // 320), 2, 384)
    assert rows.dtype == np.float32


def test_no_sound_has_no_rows(encoder: SpeechEncoder) -> None:
    assert list(encoder.encode([])) == []
    assert list(encoder.encode([np.zeros(0, np.int16)])) == []


@pytest.mark.parametrize("block", [997, 16_000, 10**6])
def test_rows_do_not_depend_on_where_blocks_are_cut(encoder: SpeechEncoder, block: int) -> None:
    sound = read_speech(11.3)
    np.testing.assert_array_equal(rows_of(encoder, sound, block), rows_of(encoder, sound))


def test_a_row_is_centred_on_its_20_ms(encoder: SpeechEncoder) -> None:
    """A click in noise changes the rows around it most."""
    sound = np.random.default_rng(3).normal(0, 300, 8 * RATE_HZ).astype(np.int16)
    clicked = sound.copy()
    clicked[3 * RATE_HZ - 80 : 3 * RATE_HZ + 80] = 12_000
    change = np.square(rows_of(encoder, clicked) - rows_of(encoder, sound))[:, 0].sum(axis=1)
    assert abs(int(change.argmax()) - 150) <= 2


def test_the_windows_fade_into_each_other(encoder: SpeechEncoder, encoder_file: Path) -> None:
    """The rows of a long sound against windows that are heard one by one."""
    sound = read_speech(15.0)
    padded = np.concatenate([np.zeros(2 * RATE_HZ, np.int16), sound, np.zeros(8 * RATE_HZ, np.int16)])
    network, rows = open_network(encoder_file), rows_of(encoder, sound)
    for row in (0, 40, 100, 250, 299, 300, 499, 740):
        heard = shares = 0.0
        for start_s in range(-2, 14, 4):
            place = row - start_s * 50
            if 0 <= place < 400:
                features = speech_features(padded[(start_s + 2) * RATE_HZ :][:WINDOW])
                share = min((place + 0.5) / 200, (400 - place - 0.5) / 200)
                heard, shares = heard + share * network.heard(features)[place], shares + share
        if 100 <= row < 700:
            assert shares == pytest.approx(1.0)
        np.testing.assert_allclose(rows[row], heard / shares, atol=2e-3)


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    first_rows(
        [
            (Fraction(3), Fraction(5)),
            (Fraction(31, 3), Fraction(12)),
            (Fraction(30), None),
            (Fraction(59), Fraction(99)),
        ],
        2,
    ),
)
def test_an_excerpt_has_the_rows_of_the_whole(
    encoder: SpeechEncoder, start_s: Fraction, end_s: Fraction | None
) -> None:
    sound = np.concatenate([read_speech(30.0), read_speech(30.0)[::-1] // 3])
    part = surroundings(start_s, end_s)
    first_s = part.first_s
    assert first_s > start_s - 8
    assert part.end_s is None or end_s is None or part.end_s <= end_s + 8
    heard = sound[first_s * RATE_HZ : None if part.end_s is None else part.end_s * RATE_HZ]
    rows = rows_of(encoder, heard, first_s=first_s)
    begin, end = int(start_s * 50), 3000 if end_s is None else min(3000, int(end_s * 50))
    place = slice(begin - first_row(first_s), end - first_row(first_s))
    assert begin >= first_row(first_s)
    np.testing.assert_array_equal(rows[place], rows_of(encoder, sound)[begin:end])


def test_encoding_fails_when_an_excerpt_begins_beside_the_grid(encoder: SpeechEncoder) -> None:
    with pytest.raises(ValueError, match="no window begins at 3 s"):
        list(encoder.encode([read_speech(1.0)], first_s=3))


def test_a_long_sound_needs_no_more_memory_than_a_short_one(encoder: SpeechEncoder) -> None:
    peaks = []
    for duration_s in (20, 120):
        tracemalloc.start()
        for _ in encoder.encode(read_speech(1.0) for _ in range(duration_s)):
            continue
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] < 60e6


def test_opening_fails_when_the_file_is_another_model(tmp_path: Path) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "other")
    info = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3])
    node = onnx.helper.make_node("Identity", ["other"], ["y"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [info], [tensor])), tmp_path / "a.onnx")
    with pytest.raises(ModelCorruptError, match="has no tensor"):
        SpeechEncoder.open(tmp_path / "a.onnx")
