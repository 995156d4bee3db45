"""The torch module of GFPGAN: its shapes, its rows below a cut, its fixed noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gfpgan_weights import (
    CHECKOUT,
    needs_checkout,
    public_output,
    published_shapes,
    seeded_face,
    seeded_tensors,
)
from tests.wav2lip_weights import needs_torch

pytestmark = [needs_torch, pytest.mark.usefixtures("one_thread")]

SMALL_PX, SMALL_WIDEST = 64, 64
UNUSED = ("toRGB.", "stylegan_decoder.style_mlp.")


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
