"""Reads PyTorch checkpoints without running any code that they may contain. Needs torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lipsync_core.errors import ModelCorruptError, ModelError

_PREFIX = "module."  # torch.nn.DataParallel puts it before every name


def read_state_dict(path: Path, keys: Sequence[str] = ("state_dict",)) -> dict[str, Tensor]:
    """The weights of a checkpoint by name: bare, or below the first of `keys`; with or without the prefix `module.`.

    A pickle that asks for anything but tensors and plain containers is refused by torch's restricted reader before
    any of it runs.

    Raises:
        ModelCorruptError: the file is truncated, damaged or hostile.
        ModelError: the file holds something other than a table of weights.
    """
    loaded = _load(path)
    if isinstance(loaded, Mapping):
        loaded = next((loaded[key] for key in keys if isinstance(loaded.get(key), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not a table of weights")
    weights = {}
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path} holds {name!r}: {type(value).__name__}, not a weight")
        weights[name.removeprefix(_PREFIX)] = value
    return weights


def load_weights(network: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put the weights read from `path` into `network`, which takes exactly these names and shapes.

    Raises:
        ModelError: a weight is missing, unknown or of another shape; the message names one.
        ModelCorruptError: a weight is not a finite number.
    """
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in weights:
            raise ModelError(f"{path} has no weight {name}", "is it a checkpoint of another model?")
        found = weights[name]
        if found.shape != value.shape:
            raise ModelError(f"{path}: {name} has shape {tuple(found.shape)}, not {tuple(value.shape)}")
        if not bool(torch.isfinite(found).all()):
            raise ModelCorruptError(f"{path}: {name} holds values that are not finite numbers")
    unknown = sorted(weights.keys() - wanted.keys())
    if unknown:
        raise ModelError(f"{path} has the unknown weight {unknown[0]}", "is it a checkpoint of another model?")
    network.load_state_dict(dict(weights))


def _load(path: Path) -> object:
    try:
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # a damaged or hostile file can make the reader raise any error
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise ModelCorruptError(
            f"{path} cannot be read as weights, and nothing of it was run: {reason[:160]}",
            "get the file again from its publisher",
        ) from exc
    return loaded
