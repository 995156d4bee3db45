"""GFPGAN from a checkpoint to ONNX Runtime: equal to the public implementation, and what must be refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipsync_core.enhance.gfpgan_onnx import FIRST_ROW, GfpganNetwork
from lipsync_core.errors import ModelCorruptError, ModelError
from lipsync_core.export.importing import ImportedModel, import_gfpgan
from lipsync_core.models.stamp import check_seal, sha256_of
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
from tests.wav2lip_weights import needs_torch

pytestmark = needs_torch

SMALL_PX, SMALL_WIDEST = 64, 64
UNUSED = ("toRGB.", "stylegan_decoder.style_mlp.")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ImportedModel, str]]:
    """The ONNX file made of a whole seeded checkpoint, and the checkpoint's sha256. Each has 350 MB."""
    import torch

    folder = tmp_path_factory.mktemp("gfpgan")
    checkpoint = folder / "GFPGANv1.4.pth"
    torch.save({"params_ema": seeded_tensors(published_shapes())}, checkpoint)
    sha256 = sha256_of(checkpoint)
    model = import_gfpgan(checkpoint, folder / "gfpgan.onnx")
    checkpoint.unlink()
    yield model, sha256
    model.path.unlink()


@pytest.fixture(scope="module")
def small_weights() -> dict[str, Any]:
    from lipsync_core.export.gfpgan_torch import GfpganTorch

    network = GfpganTorch(picture_px=SMALL_PX, widest=SMALL_WIDEST)
    return seeded_tensors({name: tuple(value.shape) for name, value in network.state_dict().items()})


def small_picture(weights: dict[str, Any], first_row: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    import torch

    from lipsync_core.export.gfpgan_torch import GfpganTorch

    network = GfpganTorch(first_row, SMALL_PX, SMALL_WIDEST)
    network.load_state_dict(weights)
    with torch.inference_mode():
        picture: np.ndarray[Any, np.dtype[np.float32]] = network.eval()(torch.from_numpy(seeded_face(SMALL_PX))).numpy()
    return picture


def test_an_imported_checkpoint_gives_the_public_implementations_picture(imported: tuple[ImportedModel, str]) -> None:
    restored = GfpganNetwork(imported[0].path, threads=1).forward(seeded_face())
    expected = golden_output()[:, :, FIRST_ROW // STRIDE :]
    assert restored.shape == (1, 3, 512 - FIRST_ROW, 512)
    assert np.abs(expected).max() > 5.0  # the tolerance is 1e-5 of the range
    assert np.abs(restored[:, :, ::STRIDE, ::STRIDE] - expected).max() < 1e-4


def test_an_imported_checkpoint_is_sealed_with_its_source(imported: tuple[ImportedModel, str]) -> None:
    model, sha256 = imported
    assert check_seal(model.path) == model.source_sha256 == sha256
    assert model.size_bytes == model.path.stat().st_size


@needs_checkout
def test_the_stored_output_is_that_of_the_public_implementation() -> None:
    output = public_output(Path(CHECKOUT))
    np.testing.assert_allclose(output[:, :, ::STRIDE, ::STRIDE], golden_output(), atol=1e-4)


@needs_checkout
def test_the_whole_picture_in_torch_is_that_of_the_public_implementation() -> None:
    import torch

    from lipsync_core.export.gfpgan_torch import GfpganTorch

    network = GfpganTorch()
    network.load_state_dict(seeded_tensors({name: tuple(v.shape) for name, v in network.state_dict().items()}))
    with torch.inference_mode():
        restored = network.eval()(torch.from_numpy(seeded_face())).numpy()
    assert np.abs(restored - public_output(Path(CHECKOUT))).max() < 1e-4


def test_the_network_has_the_published_weights_by_name_and_shape() -> None:
    import torch

    from lipsync_core.export.gfpgan_torch import GfpganTorch

    with torch.device("meta"):
        network = GfpganTorch()
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert own == {name: shape for name, shape in published_shapes().items() if not name.startswith(UNUSED)}


@pytest.mark.parametrize("first_row", [1, 2, 3, 4, 5, 31, 32, 41, 60, 63])
def test_rows_below_a_cut_are_those_of_the_whole_picture(small_weights: dict[str, Any], first_row: int) -> None:
    whole, cut = small_picture(small_weights), small_picture(small_weights, first_row)
    assert cut.shape == (1, 3, SMALL_PX - first_row, SMALL_PX)
    assert np.abs(whole[:, :, first_row:]).max() > 1.0
    np.testing.assert_allclose(cut, whole[:, :, first_row:], atol=1e-5)


def test_the_same_face_is_restored_in_the_same_way_each_time(small_weights: dict[str, Any]) -> None:
    np.testing.assert_array_equal(small_picture(small_weights), small_picture(small_weights))


def test_the_checkpoints_noise_reaches_the_picture(small_weights: dict[str, Any]) -> None:
    silent = {name: value * (0.0 if ".noises." in name else 1.0) for name, value in small_weights.items()}
    assert np.abs(small_picture(silent) - small_picture(small_weights)).max() > 0.01


@pytest.mark.parametrize("first_row", [-1, 512])
def test_a_cut_fails_when_it_leaves_no_row(first_row: int) -> None:
    from lipsync_core.export.gfpgan_torch import level_rows

    with pytest.raises(ValueError, match=r"not in 0\.\.511"):
        level_rows(first_row)


@pytest.mark.parametrize("key", ["params_ema", "params", None])
def test_weights_are_found_under_each_published_key(tmp_path: Path, key: str | None) -> None:
    import torch

    from lipsync_core.export.checkpoint import read_state_dict

    weights = {"final_conv.bias": torch.arange(3.0)}
    # A checkpoint of the training holds the moving average beside the last state, which is not the one to use.
    held = {"params": {"final_conv.bias": torch.zeros(3)}, key: weights} if key else weights
    torch.save(held, tmp_path / "a.pth")
    read = read_state_dict(tmp_path / "a.pth", ("params_ema", "params"))
    assert torch.equal(read["final_conv.bias"], torch.arange(3.0))


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
    model = import_gfpgan(source, tmp_path / "models" / "gfpgan.onnx")
    assert check_seal(model.path) == sha256_of(source)
    face = seeded_face()
    np.testing.assert_allclose(GfpganNetwork(model.path, threads=1).forward(face), -face[:, :, FIRST_ROW:], atol=1e-6)


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


@pytest.mark.parametrize("difference", [2e-4, float("nan"), float("inf")])
def test_an_export_fails_when_it_computes_something_else(difference: float) -> None:
    from lipsync_core.export.onnx_export import require_equal

    require_equal(Path("a.pth"), 1e-4, 1e-4)
    with pytest.raises(ModelError, match=r"a\.pth was exported wrongly"):
        require_equal(Path("a.pth"), difference, 1e-4)
