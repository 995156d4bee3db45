"""Wav2Lip itself, with weights from a seed: a model server gives what this process computes, in any batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.models.store import ModelStore
from lipsync_core.serving.client import ServedModel
from lipsync_core.serving.repository import export_repository
from tests.model_server.callers import MODEL, PATIENCE, Clip, clip_of
from tests.model_server.repository import serve_by_python
from tests.model_server.triton import TritonServer, running_server
from tests.model_server.wheel import needs_triton
from tests.servers import about_to_start, starts_servers
from tests.wav2lip_weights import home_with, imported_wav2lip, needs_torch

pytestmark = [starts_servers, needs_triton, needs_torch]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_wav2lip(tmp_path_factory)


@pytest.fixture(scope="module")
def wav2lip_server(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of the folder that the product writes, its backend exchanged for Python's."""
    about_to_start("Triton's server")
    folder = tmp_path_factory.mktemp("served")
    workspace = home_with(network, folder / "home")
    export_repository(ModelStore(workspace.models), folder / "models")
    serve_by_python(folder / "models" / MODEL, "onnx_file")
    with running_server(folder / "models", folder) as server:
        yield server


def patches_of(server: TritonServer, clip: Clip) -> NDArray[np.uint8]:
    model = ServedModel(server.url, MODEL, patience=PATIENCE)
    (patches,) = model.run(clip.feeds, outputs=("patches",))
    model.close()
    return np.asarray(patches, np.uint8)


def test_the_server_gives_bit_for_bit_what_this_process_computes(network: Path, wav2lip_server: TritonServer) -> None:
    clips = [clip_of(seed, frames=4) for seed in range(4)]
    with ThreadPoolExecutor(len(clips)) as pool:
        together = list(pool.map(lambda clip: patches_of(wav2lip_server, clip), clips))
    alone = [patches_of(wav2lip_server, clip) for clip in clips]
    local = Wav2LipNetwork(network)
    for clip, shared, single in zip(clips, together, alone, strict=True):
        assert np.array_equal(shared, single)
        assert np.array_equal(shared, local.speak(clip.mel, clip.crops))
        assert not np.array_equal(shared, clip.crops[:, -shared.shape[1] :])  # the network has drawn
    mel, crops = (np.concatenate(arrays) for arrays in zip(*((clip.mel, clip.crops) for clip in clips), strict=True))
    assert np.array_equal(patches_of(wav2lip_server, Clip(mel, crops)), np.concatenate(alone))  # one batch of all
