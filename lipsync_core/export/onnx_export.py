"""Writes torch networks as ONNX files. Needs torch and onnxscript.

The newer exporter of torch is used, built on `torch.export`: the older one, built on TorchScript, is deprecated.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipsync_core.errors import ModelError

_CHATTER = "torch.onnx._internal.exporter._registration"  # warns that torchvision, which is not used, is absent


def export_onnx(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    target: Path,
    names: tuple[Sequence[str], str],
    dynamic_shapes: dict[str, Any] | None = None,
) -> None:
    """Write `network` to `target`: its inputs and its output called `names`, of the examples' shapes.

    `dynamic_shapes`, in the form of torch.export, gives the variable sizes of each parameter of `forward`.
    """
    inputs, output = names
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            network,
            examples,
            target,
            input_names=inputs,
            output_names=(output,),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def require_equal(checkpoint: Path, difference: float, tolerance: float) -> None:
    """Accept an export whose results differ from torch's by `difference`.

    Raises:
        ModelError: that is more than `tolerance`, or not a number.
    """
    if not difference <= tolerance:
        raise ModelError(
            f"{checkpoint} was exported wrongly: the results differ by {difference:.2g}",
            f"use the pinned torch and onnxscript instead of torch {torch.__version__}",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers from the user's terminal."""
    chatter = logging.getLogger(_CHATTER)
    was_disabled = chatter.disabled
    chatter.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatter.disabled = was_disabled
