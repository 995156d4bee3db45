"""The work before and after the Wav2Lip network, inside its file: the same bytes as in numpy."""

from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelError
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.onnx_session import OnnxModel
from tests.echo_network import write_echo
from tests.thorough import first_of
from tests.wav2lip_weights import INNER_INPUTS, imported_wav2lip, needs_torch, seeded_pictures

pytest.importorskip("onnx", reason="neither of the extras model-server and torch is installed")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights, imported: bytes in, bytes out."""
    return imported_wav2lip(tmp_path_factory)


def bare_copy(ended: Path, target: Path) -> Path:
    """The network as imports wrote it before: float32 in, float32 out."""
    import onnx

    onnx.utils.extract_model(ended, target, list(INNER_INPUTS), ["mouth"], check_model=False)
    return target


@needs_torch
@pytest.mark.parametrize("batch", first_of([1, 4, 7], 2))
def test_seeded_weights_give_the_same_bytes_and_the_same_floats_as_numpy_around_them(
    ended: Path, tmp_path: Path, batch: int
) -> None:
    inside = Wav2LipNetwork(ended, threads=1)
    around = Wav2LipNetwork(bare_copy(ended, tmp_path / "bare.onnx"), threads=1)
    (tmp_path / "bare.onnx").unlink()
    assert (inside.has_picture_ends, around.has_picture_ends) == (True, False)
    mel, crops = seeded_pictures(batch)
    patches = inside.speak(mel, crops)
    assert (patches.shape, patches.dtype) == ((batch, 53, 96, 3), np.uint8)
    np.testing.assert_array_equal(patches, around.speak(mel, crops))
    np.testing.assert_array_equal(inside.mouths(mel, crops), around.mouths(mel, crops))
    assert patches.std() > 20  # noise, and no constant


@needs_torch
def test_little_travels_to_a_server_and_back(ended: Path) -> None:
    model = OnnxModel(ended, threads=1)
    mel, crops = seeded_pictures(280)
    (patches,) = model.run({"mel": mel[:4], "crops": crops[:4]}, ("patches",))
    assert crops.nbytes + mel.nbytes + 70 * patches.nbytes < 14_000_000  # of 280 frames; 80 MB in float32


def test_every_code_value_survives_both_ends(tmp_path: Path) -> None:
    from lipsync_core.export.picture_ends import write_with_picture_ends

    write_with_picture_ends(write_echo(tmp_path / "echo.onnx"), tmp_path / "ended.onnx")
    crops = np.arange(96 * 96 * 3, dtype=np.int64).reshape(1, 96, 96, 3).astype(np.uint8)  # all 256, in each colour
    mel = np.zeros((1, 80, 16), np.float32)
    patches = Wav2LipNetwork(tmp_path / "ended.onnx", threads=1).speak(mel, crops)
    np.testing.assert_array_equal(patches, crops[:, 43:])


def test_the_lower_half_of_the_first_picture_is_hidden_from_the_network(tmp_path: Path) -> None:
    import onnx

    from lipsync_core.export.picture_ends import write_with_picture_ends

    network = onnx.load(write_echo(tmp_path / "echo.onnx", first_row=0))
    for constant in network.graph.initializer:
        if constant.name in ("starts", "ends"):
            values = [0, 0] if constant.name == "starts" else [3, 96]  # the first three planes, not the reference
            constant.CopyFrom(onnx.numpy_helper.from_array(np.array(values, np.int64), constant.name))
    onnx.save(network, tmp_path / "hidden.onnx")
    write_with_picture_ends(tmp_path / "hidden.onnx", tmp_path / "ended.onnx")
    mel, crops = seeded_pictures(2)
    mouths = Wav2LipNetwork(tmp_path / "ended.onnx", threads=1, first_row=0).mouths(mel, crops)
    assert not mouths[:, :, 48:].any()
    np.testing.assert_allclose(mouths[:, ::-1, :48].transpose(0, 2, 3, 1), crops[:, :48] / 255.0, atol=1e-6)


def test_adding_the_ends_fails_when_the_operator_set_cannot_round(tmp_path: Path) -> None:
    import onnx

    from lipsync_core.export.picture_ends import can_have_picture_ends, write_with_picture_ends

    network = onnx.load(write_echo(tmp_path / "echo.onnx"))
    # In set 10 the axes of ReduceMean are an attribute, which this network does not use.
    del network.opset_import[:]
    network.opset_import.append(onnx.helper.make_opsetid("", 10))
    onnx.save(network, tmp_path / "old.onnx")
    assert not can_have_picture_ends(tmp_path / "old.onnx")
    with pytest.raises(ModelError, match="before 11"):
        write_with_picture_ends(tmp_path / "old.onnx", tmp_path / "ended.onnx")
    assert not (tmp_path / "ended.onnx").exists()
