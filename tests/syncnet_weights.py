"""Stand-ins for SyncNet's weights: made from a seed by the tests, in the form of the public checkpoint."""

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.made_once import made_once

_COUNTER = "num_batches_tracked"


def seeded_tensors() -> dict[str, Any]:
    """The torch tensors of a checkpoint; each follows from its name and shape. As in the public one, none counts."""
    import torch

    from lipsync_core.export.syncnet_torch import SyncNetTorch

    with torch.device("meta"):  # shapes alone
        shapes = {name: tuple(value.shape) for name, value in SyncNetTorch().state_dict().items()}
    return {
        name: torch.from_numpy(_seeded_array(name, shape))
        for name, shape in shapes.items()
        if not name.endswith(_COUNTER)
    }


def seeded_inputs(batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(B, 1, 13, 20) cepstra and (B, 3, 5, 224, 224) faces in 0..255."""
    draw = np.random.RandomState(batch)
    cepstra = draw.uniform(-20.0, 20.0, (batch, 1, 13, 20)).astype(np.float32)
    return cepstra, draw.randint(0, 256, (batch, 3, 5, 224, 224)).astype(np.float32)


def imported_syncnet(folders: pytest.TempPathFactory) -> Path:
    """An ONNX file that the test run imports once from a checkpoint of seeded weights; tests only read it."""
    return made_once(folders, "syncnet.onnx", _import_seeded_syncnet)


def _import_seeded_syncnet(target: Path) -> None:
    import torch

    from lipsync_core.export.importing import import_syncnet

    with TemporaryDirectory(dir=target.parent) as folder:
        checkpoint = Path(folder) / "syncnet_v2.model"
        # The public file is of the format that torch wrote before 1.6.
        torch.save(seeded_tensors(), checkpoint, _use_new_zipfile_serialization=False)
        import_syncnet(checkpoint, target)


def _seeded_array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights that keep activations of about 1 through all layers."""
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) > 1:
        limit = (6.0 / np.prod(shape[1:])) ** 0.5
        scale = 1.0 / 128 if name == "netcnnlip.0.weight" else 0.1 if name == "netcnnaud.0.weight" else 1.0
        return (draw.uniform(-limit, limit, shape) * scale).astype(np.float32)
    middle = 1.0 if name.endswith(("weight", "running_var")) else 0.0
    return (middle + draw.uniform(-0.2, 0.2, shape)).astype(np.float32)
