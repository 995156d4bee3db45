"""The seal of an imported file."""

from pathlib import Path

import pytest

from lipsync_core.errors import ModelCorruptError, ModelMissingError
from lipsync_core.models.stamp import check_seal
from lipsync_core.onnx_session import OnnxModel
from tests.wav2lip_weights import imported_wav2lip, needs_torch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_wav2lip(tmp_path_factory)


@needs_torch
def test_the_source_stands_in_the_models_own_metadata(model: Path) -> None:
    assert OnnxModel(model, threads=1).metadata["source_sha256"] == check_seal(model)


@needs_torch
def test_a_changed_or_shortened_model_loses_its_seal(model: Path, tmp_path: Path) -> None:
    sound = model.read_bytes()
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    for broken in (bytes(flipped), sound[:-1], sound[: len(sound) // 2], b"", sound + b"x"):
        path = tmp_path / "broken.onnx"
        path.write_bytes(broken)
        with pytest.raises(ModelCorruptError, match="not what was imported"):
            check_seal(path)


def test_checking_a_seal_fails_when_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="not installed"):
        check_seal(tmp_path / "absent.onnx")
