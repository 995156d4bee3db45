"""Installing models from every source, their licences, and imports: on a real server and in real folders."""

import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lipsync_core.errors import LicenceError, ModelCorruptError, ModelError, ModelMissingError, TransientError
from lipsync_core.models.content import sha256_of
from lipsync_core.models.registry import NETWORK, PathSource
from lipsync_core.report import Progress
from tests.models.entries import CONTENT, files, installer, restricted, store_of, url_entry, write_zip, zip_entry
from tests.wav2lip_weights import imported_wav2lip, needs_torch
from tests.web import FileServer

CHECKPOINT = b"PK\x03\x04" + CONTENT  # the first bytes of a .pth


def test_a_file_is_pulled_from_an_address(server: FileServer, folder: Path) -> None:
    store = store_of(folder, url_entry(server))
    assert store.status("tiny") == "missing"
    seen: list[Progress] = []
    installer(store).pull("tiny", progress=seen.append)
    assert store.verify("tiny").path("weights").read_bytes() == CONTENT
    assert files(folder) == ["tiny/weights.onnx"]
    assert seen[-1] == Progress("download", len(CONTENT), len(CONTENT))
    store.open_usable("tiny")
    server.requests.clear()
    installer(store).pull("tiny")
    assert server.requests == []


def test_a_stopped_pull_goes_on_where_it_stopped(server: FileServer, folder: Path) -> None:
    store = store_of(folder, url_entry(server))
    server.answers["/weights.onnx"].cuts = [100_000, 0, 0]
    with pytest.raises(TransientError):
        installer(store).pull("tiny")
    assert store.status("tiny") == "missing"
    assert store.partial_bytes("tiny") == 100_000
    installer(store).pull("tiny")
    assert store.status("tiny") == "installed"
    assert store.partial_bytes("tiny") == 0
    assert server.ranges()[-1] == "bytes=100000-"


@pytest.mark.parametrize("place", ["weights.onnx", "pack/weights.onnx"])
def test_a_member_of_a_zip_is_taken_out_and_the_zip_is_not_kept(
    place: str, server: FileServer, folder: Path, tmp_path: Path
) -> None:
    zipped = write_zip(tmp_path / "pack.zip", {place: CONTENT, "other.onnx": bytes(1000)})
    store = store_of(folder, zip_entry(server, zipped))
    server.answers["/pack.zip"].cuts = [50, 0, 0]
    with pytest.raises(TransientError):
        installer(store).pull("tiny")
    assert store.partial_bytes("tiny") == 50
    installer(store).pull("tiny")
    assert store.verify("tiny").path("weights").read_bytes() == CONTENT
    assert files(folder) == ["tiny/weights.onnx"]


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ({"other.onnx": CONTENT}, "holds no weights.onnx"),
        ({"a/weights.onnx": CONTENT, "b/weights.onnx": CONTENT}, "holds no weights.onnx"),
        ({"weights.onnx": bytes(len(CONTENT))}, "does not have the registered sha256"),
        ({"weights.onnx": CONTENT + b"x"}, "has 512001 bytes, not 512000"),
        ({"weights.onnx": b"<html>"}, "is an HTML page"),
    ],
    ids=["absent", "twice", "other bytes", "too large", "HTML page"],
)
def test_pull_fails_when_the_zip_holds_something_else(
    made: dict[str, bytes], fault: str, server: FileServer, folder: Path, tmp_path: Path
) -> None:
    store = store_of(folder, zip_entry(server, write_zip(tmp_path / "pack.zip", made)))
    with pytest.raises(ModelCorruptError, match=fault):
        installer(store).pull("tiny")
    assert store.status("tiny") == "missing"


def test_pull_fails_when_the_zip_is_damaged(server: FileServer, folder: Path, tmp_path: Path) -> None:
    zipped = bytearray(write_zip(tmp_path / "pack.zip", {"weights.onnx": CONTENT}))
    zipped[100] ^= 0xFF  # its sum is registered all the same
    store = store_of(folder, zip_entry(server, bytes(zipped)))
    with pytest.raises(ModelCorruptError, match=r"pack\.zip cannot be used"):
        installer(store).pull("tiny")


def test_a_model_is_pulled_from_a_path(server: FileServer, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "share.onnx").write_bytes(CONTENT)
    store = store_of(folder, replace(url_entry(server), source=PathSource(tmp_path / "share.onnx")))
    installer(store).pull("tiny")
    assert store.status("tiny") == "installed"
    assert (tmp_path / "share.onnx").exists()
    assert server.requests == []


def test_concurrent_pulls_download_once(server: FileServer, folder: Path) -> None:
    entry = url_entry(server)
    server.answers["/weights.onnx"].pause_s = 0.02
    seen: list[str] = []
    barrier = threading.Barrier(4)

    def pull(_: int) -> None:
        barrier.wait()
        installer(store_of(folder, entry)).pull("tiny", progress=lambda progress: seen.append(progress.stage))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pull, range(4)))
    assert len(server.requests) == 1
    assert seen.count("wait") == 3
    assert files(folder) == ["tiny/weights.onnx"]


def test_require_usable_fails_when_a_file_was_changed(server: FileServer, folder: Path) -> None:
    store = store_of(folder, url_entry(server))
    installer(store).pull("tiny")
    (folder / "tiny" / "weights.onnx").write_bytes(CONTENT[:-1])
    with pytest.raises(ModelCorruptError, match="is truncated"):
        store.open_usable("tiny")


def test_a_file_that_the_user_has_is_imported(server: FileServer, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.bin").write_bytes(CONTENT)
    store = store_of(folder, restricted(url_entry(server)))
    with pytest.raises(LicenceError, match=r"run: lipsync models import .*mine\.bin --as tiny --accept-licence"):
        installer(store).import_file("tiny", tmp_path / "mine.bin")
    installer(store).import_file("tiny", tmp_path / "mine.bin", accept_licence=True)
    store.open_usable("tiny")
    assert server.requests == []
    assert (tmp_path / "mine.bin").exists()


def test_a_zip_that_the_user_has_is_imported(server: FileServer, folder: Path, tmp_path: Path) -> None:
    zipped = write_zip(tmp_path / "mine.zip", {"pack/weights.onnx": CONTENT})
    store = store_of(folder, zip_entry(server, zipped))
    installer(store).import_file("tiny", tmp_path / "mine.zip")
    assert files(folder) == ["tiny/weights.onnx"]


@pytest.mark.parametrize(
    ("content", "error", "fault"),
    [
        (None, ModelMissingError, "there is no model file"),
        (b"", ModelCorruptError, "is truncated: 0 of 512000 bytes"),
        (CONTENT[:-1], ModelCorruptError, "is truncated"),
        (bytes(len(CONTENT)), ModelCorruptError, "does not have the registered sha256"),
        (b"<!DOCTYPE html>", ModelCorruptError, "is an HTML page"),
        (b"PK\x05\x06" + bytes(18), ModelCorruptError, "holds no weights.onnx"),
    ],
    ids=["absent", "empty", "truncated", "other bytes", "HTML page", "empty zip"],
)
def test_import_fails_when_the_file_is_not_the_registered_one(
    content: bytes | None, error: type[ModelError], fault: str, server: FileServer, folder: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "mine.bin").write_bytes(content)
    store = store_of(folder, restricted(url_entry(server)))
    with pytest.raises(error, match=fault) as caught:
        installer(store).import_file("tiny", tmp_path / "mine.bin", accept_licence=True)
    assert "mine.bin" in caught.value.message
    assert files(folder) == []  # nothing accepted either


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture(autouse=True)
def no_large_file_stays(folder: Path) -> Iterator[None]:
    yield
    for path in folder.rglob("*.onnx"):  # pytest keeps the folders of three runs
        path.unlink()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real Wav2Lip network with seeded weights."""
    return imported_wav2lip(tmp_path_factory)


@needs_torch
def test_what_is_pulled_is_imported_once_and_then_removed(
    network: Path, server: FileServer, folder: Path, tmp_path: Path
) -> None:
    entry = replace(url_entry(server, network.read_bytes()), imported_by="wav2lip")
    store = store_of(folder, entry)
    seen: list[str] = []
    installer(store).pull("tiny", progress=lambda progress: seen.append(progress.stage))
    assert list(dict.fromkeys(seen)) == ["download", "import"]
    assert files(folder) == ["tiny/tiny.onnx"]
    assert store.verify("tiny").source_sha256 == entry.members[0].sha256
    assert store.verify("tiny").path(NETWORK) == folder / "tiny" / "tiny.onnx"
    store.open_usable("tiny")
    installer(store).pull("tiny")
    assert len(server.requests) == 1


@needs_torch
def test_a_corrupt_network_is_made_again(network: Path, server: FileServer, folder: Path) -> None:
    entry = replace(url_entry(server, network.read_bytes()), imported_by="wav2lip")
    store = store_of(folder, entry)
    (folder / "tiny").mkdir(parents=True)
    shutil.copyfile(network, folder / "tiny" / "tiny.onnx")
    with (folder / "tiny" / "tiny.onnx").open("r+b") as file:
        file.write(b"\x00")
    assert store.status("tiny") == "corrupt"
    with pytest.raises(ModelCorruptError) as caught:
        store.verify("tiny").path(NETWORK)
    assert caught.value.remedy == "run: lipsync models pull tiny"
    installer(store).pull("tiny")
    assert store.status("tiny") == "installed"


@needs_torch
def test_a_network_of_the_users_own_is_imported_and_remembered_as_such(
    network: Path, server: FileServer, folder: Path
) -> None:
    entry = restricted(replace(url_entry(server, CHECKPOINT, "weights.pth"), imported_by="wav2lip"))
    store = store_of(folder, entry)
    server.answers["/weights.pth"].cuts = [100, 0, 0]
    with pytest.raises(TransientError):
        installer(store).pull("tiny", accept_licence=True)
    installer(store).import_file("tiny", network)
    assert store.verify("tiny").source_sha256 == sha256_of(network)
    assert store.status("tiny") == "installed"
    assert files(folder) == ["accepted-licences/tiny.json", "tiny/tiny.onnx"]  # the partial download is useless now


def test_a_checkpoint_waits_for_torch_and_is_not_fetched_again(
    server: FileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it was not installed
    store = store_of(folder, replace(url_entry(server, CHECKPOINT, "weights.pth"), imported_by="wav2lip"))
    for _ in range(2):
        with pytest.raises(ModelError, match=r"torch.* is not installed; run in the clone: pip install"):
            installer(store).pull("tiny")
        assert store.status("tiny") == "downloaded"
    assert len(server.requests) == 1
    with pytest.raises(ModelMissingError) as caught:
        store.open_usable("tiny")
    assert caught.value.remedy == "run: lipsync models pull tiny"


def test_pull_fails_when_the_checkpoint_cannot_be_imported(server: FileServer, folder: Path) -> None:
    pytest.importorskip("torch")
    store = store_of(folder, replace(url_entry(server, CHECKPOINT, "weights.pth"), imported_by="wav2lip"))
    with pytest.raises(ModelCorruptError, match="nothing of it was run"):
        installer(store).pull("tiny")
    assert store.status("tiny") == "downloaded"
    assert files(folder) == ["tiny/weights.pth"]


def test_pull_fails_when_no_model_has_that_name(server: FileServer, folder: Path) -> None:
    with pytest.raises(ModelError, match="there is no model 'small'; choose one of: tiny"):
        installer(store_of(folder, url_entry(server))).pull("small")
