"""Importing Wav2Lip: the whole path from a checkpoint file to ONNX Runtime, and every file that must be refused."""

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.export.importing import import_wav2lip
from lipsync_core.generators.wav2lip_mask import FIRST_ROW
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.models.content import sha256_of
from lipsync_core.models.stamp import check_seal
from tests.scrfd_network import write_scrfd_network
from tests.shared_files import GOLDEN, needs_golden
from tests.thorough import first_of, thorough
from tests.wav2lip_weights import (
    bare_output,
    golden_tensors,
    golden_weights,
    imported_wav2lip,
    needs_torch,
    seeded_inputs,
    seeded_pictures,
    seeded_tensors,
    torch_output,
)


class Hostile:
    """Makes a folder if it is unpickled without care."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.trap),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_wav2lip(tmp_path_factory)


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob(".import-*"))
    for path in tmp_path.rglob("*"):  # pytest keeps the folders of three runs
        if path.is_file() and path.stat().st_size > 1_000_000:
            path.unlink()


def assert_equal_outputs(path: Path, mel: NDArray[np.float32], faces: NDArray[np.float32], whole: NDArray[Any]) -> None:
    mouths = bare_output(path, mel, faces)
    assert mouths.shape == whole[:, :, FIRST_ROW:].shape
    assert np.abs(mouths - whole[:, :, FIRST_ROW:]).max() < 1e-4


@needs_torch
@pytest.mark.parametrize("batch", [1, 7])
def test_a_wrapped_checkpoint_with_prefix_gives_what_torch_computes(model: Path, batch: int) -> None:
    inputs = seeded_inputs(batch)
    assert_equal_outputs(model, *inputs, torch_output(*inputs))


@needs_golden
@needs_torch
@thorough
def test_a_bare_checkpoint_of_the_old_format_gives_the_public_implementations_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    source, target = tmp_path / "check point.pth", tmp_path / "models" / "wav2lip.onnx"
    torch.save(golden_tensors(), source, _use_new_zipfile_serialization=False)
    source_sha256 = import_wav2lip(source, target)
    assert capfd.readouterr() == ("", "")  # the terminal belongs to the front end
    with np.load(GOLDEN / "wav2lip_forward.npz") as golden:
        for batch in (1, 7):
            assert_equal_outputs(target, *golden_weights().seeded_inputs(batch), golden[f"output_b{batch}"])
    assert source_sha256 == sha256_of(source) == check_seal(target)


@needs_torch
def test_an_onnx_file_is_recognised_by_shapes_whatever_its_inputs_are_called(model: Path, tmp_path: Path) -> None:
    import onnx

    other = onnx.load(model)
    renamed = dict(zip((node.name for node in other.graph.input), ("source", "target"), strict=True))
    for node in other.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for node in other.graph.input:
        node.name = renamed[node.name]
    swapped = list(other.graph.input)[::-1]
    del other.graph.input[:]
    other.graph.input.extend(swapped)
    onnx.save(other, tmp_path / "user.onnx")
    import_wav2lip(tmp_path / "user.onnx", tmp_path / "wav2lip.onnx")
    inputs = seeded_pictures(1)
    expected = Wav2LipNetwork(model, threads=1).mouths(*inputs)
    np.testing.assert_allclose(
        Wav2LipNetwork(tmp_path / "wav2lip.onnx", threads=1).mouths(*inputs), expected, atol=1e-6
    )
    assert check_seal(tmp_path / "wav2lip.onnx") == sha256_of(tmp_path / "user.onnx")


@needs_torch
def test_an_onnx_file_of_a_fixed_batch_takes_any_number_of_frames(model: Path, tmp_path: Path) -> None:
    import onnx

    fixed = onnx.load(model)
    for node in (*fixed.graph.input, *fixed.graph.output):
        node.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(fixed, tmp_path / "fixed.onnx")
    network = Wav2LipNetwork(tmp_path / "fixed.onnx", threads=1)
    inputs = seeded_pictures(3)
    assert network.fixed_batch == 2
    np.testing.assert_allclose(network.mouths(*inputs), Wav2LipNetwork(model, threads=1).mouths(*inputs), atol=1e-6)


def test_import_fails_when_an_onnx_file_is_another_model(tmp_path: Path) -> None:
    other = write_scrfd_network(tmp_path / "detector.onnx")
    with pytest.raises(ModelError, match="is not Wav2Lip: its inputs are") as caught:
        import_wav2lip(other, tmp_path / "wav2lip.onnx")
    assert str(other) in caught.value.message
    assert not (tmp_path / "wav2lip.onnx").exists()


@needs_torch
def test_import_fails_when_an_onnx_file_refers_to_other_files(model: Path, tmp_path: Path) -> None:
    import onnx

    split = onnx.load(model)
    onnx.save(split, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    with pytest.raises(ModelError, match=r"split\.onnx"):
        import_wav2lip(tmp_path / "split.onnx", tmp_path / "out" / "wav2lip.onnx")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is an HTML page"),
        (b"<html>quota exceeded</html>", "is an HTML page"),
        (b"some text\n", "is neither a PyTorch checkpoint nor an ONNX file"),
    ],
)
def test_import_fails_when_the_file_is_no_model(tmp_path: Path, content: bytes, fault: str) -> None:
    source = tmp_path / "wav2lip_gan.pth"
    source.write_bytes(content)
    with pytest.raises(ModelCorruptError, match=fault):
        import_wav2lip(source, tmp_path / "wav2lip.onnx")
    assert not (tmp_path / "wav2lip.onnx").exists()


def test_import_fails_when_an_onnx_file_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x0a\x12\x7fpyt")
    with pytest.raises(ModelCorruptError, match=r"cut\.onnx is not an ONNX model"):
        import_wav2lip(tmp_path / "cut.onnx", tmp_path / "wav2lip.onnx")


def test_import_fails_when_there_is_no_file_or_a_folder(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(ModelMissingError, match="there is no model file"):
            import_wav2lip(absent, tmp_path / "wav2lip.onnx")


@needs_torch
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_hostile_checkpoint_is_refused_before_it_runs(tmp_path: Path, is_zip: bool) -> None:
    import torch

    trap, source = tmp_path / "trap", tmp_path / "hostile.pth"
    torch.save({"state_dict": {"weight": Hostile(trap)}}, source, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ModelCorruptError, match="nothing of it was run") as caught:
        import_wav2lip(source, tmp_path / "wav2lip.onnx")
    assert "\n" not in str(caught.value)
    assert not trap.exists()


@needs_torch
def test_a_hostile_bare_pickle_is_refused_before_it_runs(tmp_path: Path) -> None:
    trap, source = tmp_path / "trap", tmp_path / "hostile.pth"
    source.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(ModelCorruptError, match="nothing of it was run"):
        import_wav2lip(source, tmp_path / "wav2lip.onnx")
    assert not trap.exists()
    pickle.loads(source.read_bytes())  # the trap works when it is read without care
    assert trap.exists()


@needs_torch
@pytest.mark.parametrize("is_zip", [True, False])
def test_import_fails_when_a_checkpoint_is_truncated(tmp_path: Path, is_zip: bool) -> None:
    import torch

    source = tmp_path / "cut.pth"
    torch.save({"state_dict": {"weight": torch.zeros(50000)}}, source, _use_new_zipfile_serialization=is_zip)
    source.write_bytes(source.read_bytes()[:100000])
    with pytest.raises(ModelCorruptError, match=r"cut\.pth cannot be read as weights"):
        import_wav2lip(source, tmp_path / "wav2lip.onnx")


@needs_torch
@pytest.mark.parametrize("held", [[1, 2], {}, {"state_dict": {"weight": 3}}])
def test_import_fails_when_a_checkpoint_holds_no_weights(tmp_path: Path, held: object) -> None:
    import torch

    torch.save(held, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"not a (table of )?weight"):
        import_wav2lip(tmp_path / "other.pth", tmp_path / "wav2lip.onnx")


@needs_torch
@pytest.mark.parametrize("fault", first_of(["missing", "unknown", "has shape", "not finite"], 2))
def test_import_fails_when_the_weights_are_not_wav2lips(tmp_path: Path, fault: str) -> None:
    import torch

    weights, name = seeded_tensors(), "output_block.1.bias"
    if fault == "missing":
        del weights[name]
    elif fault == "unknown":
        weights["extra.weight"] = torch.zeros(1)
    elif fault == "has shape":
        weights[name] = torch.zeros(4)
    else:
        weights[name][0] = float("nan")
    torch.save(weights, tmp_path / "near.pth")
    said = {"missing": f"no weight {name}", "unknown": "extra.weight", "has shape": r"\(4,\)", "not finite": "finite"}
    with pytest.raises(ModelError, match=said[fault]):
        import_wav2lip(tmp_path / "near.pth", tmp_path / "wav2lip.onnx")


def test_importing_a_checkpoint_fails_with_the_command_when_torch_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it was not installed
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"torch.* is not installed; run in the clone: pip install"):
        import_wav2lip(tmp_path / "a.pth", tmp_path / "wav2lip.onnx")


@needs_torch
def test_an_import_that_fails_keeps_the_model_that_was_there(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "wav2lip.onnx"
    target.write_bytes(model.read_bytes())
    (tmp_path / "page.pth").write_bytes(b"<html></html>")
    with pytest.raises(ModelCorruptError):
        import_wav2lip(tmp_path / "page.pth", target)
    assert check_seal(target) == check_seal(model)
