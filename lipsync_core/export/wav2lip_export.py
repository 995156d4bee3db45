"""Turns a Wav2Lip checkpoint into an ONNX file once, so that using it needs no torch. Needs torch and onnxscript.

The newer exporter of torch is used, built on `torch.export`: the older one, built on TorchScript, is deprecated.
Layers are left as they are, by measurement in ONNX Runtime on a CPU at batch 4: transposed convolutions as convolution
and pixel shuffle took 13 % longer, in a file 19 % larger; Winograd's F(4, 3) for six of the decoder's convolutions,
written as matrix products, took 8 % less time on one thread but 5 % more on two, in a file 34 % larger.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lipsync_core.export.checkpoint import load_weights, read_state_dict
from lipsync_core.export.onnx_export import export_onnx, require_equal
from lipsync_core.export.wav2lip_torch import Wav2LipTorch
from lipsync_core.generators.wav2lip_mask import FACE_PX
from lipsync_core.onnx_session import OnnxModel

#: The greatest accepted difference of two runtimes in float32, on a sigmoid's output.
TOLERANCE = 1e-4
INPUTS = ("mel_spectrogram", "video_frames")


def export_wav2lip(checkpoint: Path, target: Path, first_row: int) -> None:
    """Write the network with the weights of `checkpoint` to `target`, for the picture's rows from `first_row` on.

    Batch norms are folded into their convolutions. The file takes any batch. It is accepted only if, on random
    input, it computes the same as the whole network in torch.

    Raises:
        ModelCorruptError: the checkpoint is damaged or hostile.
        ModelError: it holds another network's weights, or the exported file computes something else.
    """
    weights = read_state_dict(checkpoint)
    whole, cut = Wav2LipTorch(), Wav2LipTorch(first_row)
    for network in (whole, cut):
        load_weights(network, weights, checkpoint)
        network.eval()
    fold_batch_norms(cut)
    _export(cut, target)
    require_equal(checkpoint, _difference(whole, first_row, target), TOLERANCE)


def fold_batch_norms(network: nn.Module) -> None:
    """Replace every convolution and the batch norm after it by one convolution, in place."""
    for module in network.modules():
        block = getattr(module, "conv_block", None)
        if not isinstance(block, nn.Sequential):
            continue
        convolution, norm = block
        if isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            is_transposed = isinstance(convolution, nn.ConvTranspose2d)
            module.conv_block = nn.Sequential(fuse_conv_bn_eval(convolution, norm, transpose=is_transposed))


def _export(network: Wav2LipTorch, target: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=4096)
    export_onnx(network, _random_inputs(2), target, (INPUTS, "mouth"), {"mel": {0: batch}, "faces": {0: batch}})


def _random_inputs(batch: int) -> tuple[Tensor, Tensor]:
    """(mel (B, 1, 80, 16), faces (B, 6, 96, 96)), the same each time."""
    rng = torch.Generator().manual_seed(batch)
    mel = torch.rand((batch, 1, 80, 16), generator=rng) * 8.0 - 4.0
    faces = torch.rand((batch, 6, FACE_PX, FACE_PX), generator=rng)
    faces[:, :3, FACE_PX // 2 :] = 0.0
    return mel, faces


def _difference(whole: Wav2LipTorch, first_row: int, exported: Path) -> float:
    """The largest difference between the whole network in torch and the file, over batches of 1 and 3."""
    model = OnnxModel(exported)
    largest = 0.0
    for batch in (1, 3):
        mel, faces = _random_inputs(batch)
        with torch.inference_mode():
            expected: NDArray[np.float32] = whole(mel, faces)[:, :, first_row:].numpy()
        (computed,) = model.run(dict(zip(INPUTS, (mel.numpy(), faces.numpy()), strict=True)))
        largest = max(largest, float(np.abs(computed - expected).max()))
    return largest
