"""Turns a SyncNet checkpoint into an ONNX file once, so that using it needs no torch. Needs torch and onnxscript."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsync_core.export.checkpoint import load_weights, read_state_dict
from lipsync_core.export.onnx_export import export_onnx, require_equal
from lipsync_core.export.syncnet_torch import FlatSyncNet, SyncNetTorch
from lipsync_core.onnx_session import OnnxModel
from lipsync_core.syncnet.network import CEPSTRA_SHAPE, FACES_SHAPE

#: The greatest accepted difference of two runtimes in float32, as a share of the embeddings' largest value.
TOLERANCE = 1e-4
INPUTS, OUTPUT = ("cepstra", "faces"), "embeddings"
_COUNTER = "num_batches_tracked"  # of the training: the published file comes from a torch that kept none


def export_syncnet(checkpoint: Path, target: Path) -> None:
    """Write the network with the weights of `checkpoint` to `target`. The file takes any batch.

    It is accepted only if, on random input, it computes the same as the network in torch.

    Raises:
        ModelCorruptError: the checkpoint is damaged or hostile.
        ModelError: it holds another network's weights, or the exported file computes something else.
    """
    weights = read_state_dict(checkpoint)
    whole = SyncNetTorch()
    counters = {name: value for name, value in whole.state_dict().items() if name.endswith(_COUNTER)}
    load_weights(whole, {**counters, **weights}, checkpoint)
    whole.eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = {"cepstra": {0: batch}, "faces": {0: batch}}
    export_onnx(FlatSyncNet(whole), _random_inputs(2), target, (INPUTS, OUTPUT), shapes)
    require_equal(checkpoint, _difference(whole, target), TOLERANCE)


def _random_inputs(batch: int) -> tuple[Tensor, Tensor]:
    """(cepstra (B, 1, 13, 20), faces (B, 3, 5, 224, 224)), the same each time."""
    rng = torch.Generator().manual_seed(batch)
    cepstra = torch.randn((batch, *CEPSTRA_SHAPE), generator=rng) * 10.0
    return cepstra, torch.rand((batch, *FACES_SHAPE), generator=rng) * 255.0


def _difference(whole: SyncNetTorch, exported: Path) -> float:
    """The largest difference between torch and the file over batches of 1 and 3, as a share of the largest value."""
    model = OnnxModel(exported)
    largest = 0.0
    for batch in (1, 3):
        cepstra, faces = _random_inputs(batch)
        with torch.inference_mode():
            expected = whole(cepstra, faces).numpy()
        (computed,) = model.run(dict(zip(INPUTS, (cepstra.numpy(), faces.numpy()), strict=True)))
        largest = max(largest, float(np.abs(computed - expected).max() / np.abs(expected).max()))
    return largest
