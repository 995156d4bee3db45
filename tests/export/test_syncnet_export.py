"""SyncNet from a checkpoint to ONNX Runtime: what torch computes, and the files that must be refused."""

from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelCorruptError, ModelError
from lipsync_core.export.importing import import_syncnet
from lipsync_core.models.content import sha256_of
from lipsync_core.models.stamp import check_seal
from lipsync_core.syncnet.network import SyncNetNetwork
from tests.scrfd_network import write_scrfd_network
from tests.syncnet_network import write_syncnet_network
from tests.syncnet_weights import imported_syncnet, seeded_inputs, seeded_tensors
from tests.wav2lip_weights import needs_torch

#: Of the public network: weights and running statistics. In float32 they are 54,561,024 of the public file's 54,573,114
#: bytes.
NUMBERS = 13_640_256


@needs_torch
def test_an_imported_checkpoint_gives_what_torch_computes(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch

    from lipsync_core.export.syncnet_torch import SyncNetTorch

    whole = SyncNetTorch().eval()
    whole.load_state_dict(seeded_tensors(), strict=False)
    network = SyncNetNetwork(imported_syncnet(tmp_path_factory), threads=1)
    for batch in (1, 3):
        cepstra, faces = seeded_inputs(batch)
        with torch.inference_mode():
            expected = whole(torch.from_numpy(cepstra), torch.from_numpy(faces)).numpy()
        assert expected.shape == (batch, 2, 1024)
        assert expected.std() > 1.0  # the tolerance is a 1e-4th of the range
        assert np.abs(network.embed(cepstra, faces) - expected).max() < 1e-4


@needs_torch
def test_it_has_as_many_numbers_as_the_published_checkpoint_has_room_for() -> None:
    assert sum(tensor.numel() for tensor in seeded_tensors().values()) == NUMBERS


@needs_torch
def test_import_fails_when_the_checkpoint_is_another_model(tmp_path: Path) -> None:
    import torch

    source, target = tmp_path / "lipsync_expert.pth", tmp_path / "syncnet.onnx"
    torch.save({"state_dict": {"face_encoder.0.weight": torch.zeros(3)}}, source)
    with pytest.raises(ModelError, match=r"lipsync_expert\.pth has no weight netcnnaud\.0\.weight"):
        import_syncnet(source, target)
    assert not target.exists()


@needs_torch
def test_import_fails_when_the_file_is_a_pickled_module_and_runs_nothing_of_it(tmp_path: Path) -> None:
    import torch

    source, target = tmp_path / "module.model", tmp_path / "syncnet.onnx"
    torch.save(torch.nn.Linear(2, 2), source)
    with pytest.raises(ModelCorruptError, match="nothing of it was run"):
        import_syncnet(source, target)
    assert not target.exists()


def test_an_onnx_file_that_the_user_has_is_taken_as_it_is(tmp_path: Path) -> None:
    source, target = write_syncnet_network(tmp_path / "user.onnx"), tmp_path / "models" / "syncnet.onnx"
    assert import_syncnet(source, target) == check_seal(target) == sha256_of(source)
    cepstra, faces = seeded_inputs(2)
    sound, lips = SyncNetNetwork(target, threads=1).embed(cepstra, faces).transpose(1, 0, 2)
    np.testing.assert_allclose(sound, cepstra.mean((1, 2)).reshape(2, 5, 4).mean(2), atol=1e-3)
    np.testing.assert_allclose(lips, faces.mean((1, 3, 4)), atol=1e-1)


def test_import_fails_when_an_onnx_file_is_another_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"detector\.onnx is not SyncNet: its inputs are"):
        import_syncnet(write_scrfd_network(tmp_path / "detector.onnx"), tmp_path / "syncnet.onnx")
    assert not (tmp_path / "syncnet.onnx").exists()


def test_import_fails_when_an_onnx_file_takes_other_pictures(tmp_path: Path) -> None:
    source = write_syncnet_network(tmp_path / "small.onnx", pictures=(3, 5, 112, 112))
    with pytest.raises(ModelError, match=r"small\.onnx is not SyncNet: its inputs are .*faces \(\?, 3, 5, 112, 112\)"):
        import_syncnet(source, tmp_path / "syncnet.onnx")


def test_import_fails_when_an_onnx_file_gives_no_numbers(tmp_path: Path) -> None:
    source = write_syncnet_network(tmp_path / "user.onnx", float("nan"))
    with pytest.raises(ModelError, match=r"user\.onnx is not SyncNet: its output is not finite"):
        import_syncnet(source, tmp_path / "syncnet.onnx")
