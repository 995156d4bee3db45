"""Weights from every kind of checkpoint that PyTorch writes."""

from pathlib import Path

import pytest

from tests.wav2lip_weights import needs_torch

pytestmark = needs_torch


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", [None, "state_dict"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_are_read_from_every_kind_of_checkpoint(
    tmp_path: Path, prefix: str, key: str | None, is_zip: bool
) -> None:
    import torch

    from lipsync_core.export.checkpoint import read_state_dict

    weights = {f"{prefix}conv.weight": torch.arange(6.0).reshape(2, 3)}
    held = {key: weights, "optimizer": {"lr": 1e-4}, "global_step": 7} if key else weights
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(tmp_path / "a.pth")
    assert list(read) == ["conv.weight"]
    assert torch.equal(read["conv.weight"], torch.arange(6.0).reshape(2, 3))


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
