"""The torch module: its shapes, and that a decoder which leaves rows out computes the same numbers."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.shared_files import GOLDEN, needs_golden
from tests.thorough import first_of
from tests.wav2lip_weights import golden_tensors, golden_weights, needs_torch, seeded_inputs, seeded_tensors

pytestmark = needs_torch


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    return seeded_tensors()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


@needs_golden
def test_takes_exactly_the_published_names_and_shapes() -> None:
    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    published = json.loads((GOLDEN / "wav2lip_parameters.json").read_text())
    assert {name: list(value.shape) for name, value in Wav2LipTorch().state_dict().items()} == published


@needs_golden
def test_computes_what_the_public_implementation_computes() -> None:
    import torch

    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    network = Wav2LipTorch().eval()
    network.load_state_dict(golden_tensors())
    inputs = map(torch.from_numpy, golden_weights().seeded_inputs(7))
    expected = np.load(GOLDEN / "wav2lip_forward.npz")["output_b7"]
    assert np.abs(network(*inputs).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("first_row", first_of([1, 2, 20, 43, 60, 95], 3))
def test_leaving_out_upper_rows_changes_no_number_in_the_others(weights: dict[str, Any], first_row: int) -> None:
    import torch

    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    whole, cut = Wav2LipTorch().eval(), Wav2LipTorch(first_row).eval()
    for network in (whole, cut):
        network.load_state_dict(weights)
    mel, faces = map(torch.from_numpy, seeded_inputs(1))
    assert cut(mel, faces).shape == (1, 3, 96 - first_row, 96)
    # Two convolution kernels of a library may round differently for different heights; here the difference is 0.
    assert float((cut(mel, faces) - whole(mel, faces)[:, :, first_row:]).abs().max()) <= 1e-6


def test_the_rows_of_the_mask_cost_three_quarters_of_the_whole_picture() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from lipsync_core.export.wav2lip_torch import Wav2LipTorch
    from lipsync_core.generators.wav2lip_mask import FIRST_ROW

    def flops(network: torch.nn.Module) -> int:
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
        return counter.get_total_flops()

    assert flops(Wav2LipTorch(FIRST_ROW)) < 0.75 * flops(Wav2LipTorch())


@pytest.mark.parametrize("first_row", [-1, 96])
def test_making_a_network_fails_when_the_first_row_is_not_in_the_picture(first_row: int) -> None:
    from lipsync_core.export.wav2lip_torch import Wav2LipTorch

    with pytest.raises(ValueError, match="first row"):
        Wav2LipTorch(first_row)
