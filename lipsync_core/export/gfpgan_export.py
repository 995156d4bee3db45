"""Turns a GFPGAN checkpoint into an ONNX file once, so that using it needs no torch. Needs torch and onnxscript."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsync_core.export.checkpoint import load_weights, read_state_dict
from lipsync_core.export.gfpgan_torch import PICTURE_PX, GfpganTorch
from lipsync_core.export.onnx_export import export_onnx, require_equal
from lipsync_core.onnx_session import OnnxModel

#: The greatest accepted difference of two runtimes in float32, as a share of the restored picture's largest value.
TOLERANCE = 1e-4
#: The keys of the weights in a GFPGAN checkpoint: the moving average over the training, or its last state.
_KEYS = ("params_ema", "params")
#: Weights of the checkpoint that restoring does not use; `gfpgan_torch` says what they are.
_UNUSED = ("toRGB.", "stylegan_decoder.style_mlp.")


def export_gfpgan(checkpoint: Path, target: Path, first_row: int) -> None:
    """Write the network with the weights of `checkpoint` to `target`, for the picture's rows from `first_row` on.

    The file takes one face at a time. It is accepted only if, on random input, it computes the same as the whole
    network in torch.

    Raises:
        ModelCorruptError: the checkpoint is damaged or hostile.
        ModelError: it holds another network's weights, or the exported file computes something else.
    """
    weights = _read_weights(checkpoint)
    export_onnx(_network(weights, checkpoint, first_row), (_random_face(),), target, (("face",), "restored"))
    require_equal(checkpoint, _difference(_network(weights, checkpoint), first_row, target), TOLERANCE)


def _read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of `checkpoint` that restoring uses."""
    weights = read_state_dict(checkpoint, _KEYS)
    return {name: value for name, value in weights.items() if not name.startswith(_UNUSED)}


def _network(weights: Mapping[str, Tensor], checkpoint: Path, first_row: int = 0) -> GfpganTorch:
    """The network with the weights read from `checkpoint`, ready to restore."""
    with torch.device("meta"):  # without initial values for 87 million weights
        network = GfpganTorch(first_row)
    network.to_empty(device="cpu")
    load_weights(network, weights, checkpoint)
    return network.eval()


def _random_face() -> Tensor:
    """(1, 3, 512, 512) in -1..1, the same each time."""
    rng = torch.Generator().manual_seed(0)
    return torch.rand((1, 3, PICTURE_PX, PICTURE_PX), generator=rng) * 2.0 - 1.0


def _difference(whole: GfpganTorch, first_row: int, exported: Path) -> float:
    """The largest difference between the whole network in torch and the file, as a share of the largest value."""
    face = _random_face()
    with torch.inference_mode():
        expected = whole(face)[:, :, first_row:].numpy()
    model = OnnxModel(exported)
    (computed,) = model.run({model.inputs[0].name: face.numpy()})
    return float(np.abs(computed - expected).max() / np.abs(expected).max())
