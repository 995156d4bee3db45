"""GFPGAN from a checkpoint to ONNX Runtime: equal to the public implementation, and the files that must be refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.enhance.gfpgan_onnx import FIRST_ROW, GfpganNetwork
from lipsync_core.errors import ModelCorruptError, ModelError
from lipsync_core.export.importing import import_gfpgan
from lipsync_core.models.content import sha256_of
from lipsync_core.models.stamp import check_seal
from tests.gfpgan_weights import (
    CHECKOUT,
    STRIDE,
    golden_output,
    needs_checkout,
    public_output,
    published_shapes,
    seeded_face,
    seeded_tensors,
)
from tests.scaling_network import write_scaling_network
from tests.thorough import thorough
from tests.wav2lip_weights import needs_torch

pytestmark = [needs_torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def imported(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The ONNX file made of a whole seeded checkpoint, and the checkpoint's sha256. Each has 350 MB."""
    import torch

    folder = tmp_path_factory.mktemp("gfpgan")
    checkpoint = folder / "GFPGANv1.4.pth"
    torch.save({"params_ema": seeded_tensors(published_shapes())}, checkpoint)
    sha256 = sha256_of(checkpoint)
    target = folder / "gfpgan.onnx"
    assert import_gfpgan(checkpoint, target) == sha256
    checkpoint.unlink()
    yield target, sha256
    target.unlink()


@thorough  # the checkpoint has 350 MB, and is written, read and converted whole
def test_an_imported_checkpoint_gives_the_public_implementations_picture(imported: tuple[Path, str]) -> None:
    restored = GfpganNetwork(imported[0], threads=1).forward(seeded_face())
    expected = golden_output()[:, :, FIRST_ROW // STRIDE :]
    assert restored.shape == (1, 3, 512 - FIRST_ROW, 512)
    assert np.abs(expected).max() > 5.0  # the tolerance is 1e-5 of the range
    assert np.abs(restored[:, :, ::STRIDE, ::STRIDE] - expected).max() < 1e-4


@thorough
def test_an_imported_checkpoint_is_sealed_with_its_source(imported: tuple[Path, str]) -> None:
    target, sha256 = imported
    assert check_seal(target) == sha256


@needs_checkout
def test_the_stored_output_is_that_of_the_public_implementation() -> None:
    output = public_output(Path(CHECKOUT))
    np.testing.assert_allclose(output[:, :, ::STRIDE, ::STRIDE], golden_output(), atol=1e-4)


def test_import_fails_when_the_checkpoint_is_another_model(tmp_path: Path) -> None:
    import torch

    source, target = tmp_path / "wav2lip.pth", tmp_path / "gfpgan.onnx"
    torch.save({"params_ema": {"conv.weight": torch.zeros(3)}}, source)
    with pytest.raises(ModelError, match=r"wav2lip\.pth has no weight conv_body_first\.weight"):
        import_gfpgan(source, target)
    assert not target.exists()


def test_import_fails_when_the_file_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "GFPGANv1.4.pth").write_bytes(b"<!doctype html><title>Not found</title>")
    with pytest.raises(ModelCorruptError, match="is an HTML page"):
        import_gfpgan(tmp_path / "GFPGANv1.4.pth", tmp_path / "gfpgan.onnx")


def test_an_onnx_file_that_the_user_has_is_taken_as_it_is(tmp_path: Path) -> None:
    source = write_scaling_network(tmp_path / "user.onnx", -1.0)
    target = tmp_path / "models" / "gfpgan.onnx"
    assert import_gfpgan(source, target) == check_seal(target) == sha256_of(source)
    face = seeded_face()
    np.testing.assert_allclose(GfpganNetwork(target, threads=1).forward(face), -face[:, :, FIRST_ROW:], atol=1e-6)


@pytest.mark.parametrize(
    ("factor", "first_row", "fault"),
    [(float("nan"), 0, "its output is not finite"), (1.0, 300, r"its output is \(1, 3, 212, 512\)")],
)
def test_import_fails_when_an_onnx_file_does_not_restore(
    tmp_path: Path, factor: float, first_row: int, fault: str
) -> None:
    source = write_scaling_network(tmp_path / "user.onnx", factor, first_row=first_row)
    with pytest.raises(ModelError, match=rf"user\.onnx is not GFPGAN: {fault}"):
        import_gfpgan(source, tmp_path / "gfpgan.onnx")
    assert not (tmp_path / "gfpgan.onnx").exists()
