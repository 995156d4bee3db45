"""The store gives out only checked files, and reads each once for its check."""

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.models import content
from lipsync_core.models.registry import NETWORK
from lipsync_core.models.stamp import seal
from lipsync_core.models.store import ModelStore
from tests.hashing import count_hashed_bytes
from tests.models.entries import CONTENT, store_of, url_entry
from tests.web import FileServer

MODEL = "mediapipe-face"


def test_an_installed_model_gives_the_paths_of_its_files(store: ModelStore) -> None:
    assert store.status(MODEL) == "installed"
    installed = store.open_usable(MODEL)
    assert installed.licence == "Apache-2.0"
    assert installed.source_sha256 is None
    found = {member.name: installed.path(member.name).stat().st_size for member in store.entry(MODEL).members}
    assert found == {member.name: member.size_bytes for member in store.entry(MODEL).members}


def test_path_fails_when_the_model_has_no_such_file(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="has no file 'iris', only full_range, face_landmark"):
        store.verify(MODEL).path("iris")


def test_verify_fails_when_the_model_is_not_installed(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "nothing here")
    assert store.status(MODEL) == "missing"
    with pytest.raises(ModelMissingError) as caught:
        store.verify(MODEL)
    assert caught.value.remedy == "run: lipsync models pull mediapipe-face"
    assert not (tmp_path / "nothing here").exists()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda content: content[:-1], "is truncated: 1083983 of 1083984 bytes"),
        (lambda content: b"", "is truncated: 0 of"),
        (lambda content: bytes([content[0] ^ 1]) + content[1:], "does not have the registered sha256"),
        (lambda content: b"\n<!DOCTYPE html><title>404</title>" + content, "is an HTML page"),
    ],
    ids=["one byte short", "empty", "one bit flipped", "HTML page"],
)
@pytest.mark.parametrize("act", [ModelStore.verify, ModelStore.open_usable])
def test_a_file_is_refused_when_it_is_not_the_registered_one(store: ModelStore, act, damage, fault: str) -> None:  # type: ignore[no-untyped-def]
    path = store.verify(MODEL).path("full_range")
    path.write_bytes(damage(path.read_bytes()))
    assert store.status(MODEL) == "corrupt"
    with pytest.raises(ModelCorruptError, match=fault) as caught:
        act(store, MODEL)
    assert str(path) in caught.value.message
    assert caught.value.remedy == "run: lipsync models pull mediapipe-face"


def test_verify_fails_when_only_one_of_the_files_is_damaged(store: ModelStore) -> None:
    path = store.verify(MODEL).path("face_landmark")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelCorruptError, match="face_landmark"):
        store.verify(MODEL)


def test_verify_fails_when_a_folder_lies_in_the_files_place(store: ModelStore) -> None:
    path = store.verify(MODEL).path("full_range")
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelCorruptError, match="cannot be read"):
        store.verify(MODEL)


@pytest.mark.parametrize("act", [ModelStore.verify, ModelStore.open_usable, ModelStore.status, ModelStore.entry])
def test_everything_fails_when_no_model_has_that_name(act, tmp_path: Path, server: FileServer) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError, match="there is no model 'small'; choose one of: tiny"):
        act(store_of(tmp_path, url_entry(server)), "small")


def test_every_file_is_hashed_once_when_a_model_is_opened(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = count_hashed_bytes(monkeypatch)
    store.open_usable(MODEL)
    assert sum(hashed) == store.entry(MODEL).size_bytes


def test_a_file_is_hashed_again_when_it_was_changed_and_not_before(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 60
    monkeypatch.setattr(content, "time", SimpleNamespace(time=lambda: later))  # of files that were changed just now
    hashed = count_hashed_bytes(monkeypatch)
    path = next(iter(store.verify(MODEL).files.values()))
    assert store.verify(MODEL)
    assert sum(hashed) == store.entry(MODEL).size_bytes
    status, whole = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ModelCorruptError):
        store.verify(MODEL)


def test_a_file_that_was_changed_just_now_is_not_remembered(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.verify(MODEL)
    hashed = count_hashed_bytes(monkeypatch)
    store.verify(MODEL)
    assert sum(hashed) == store.entry(MODEL).size_bytes


def test_an_imported_network_is_hashed_once_when_it_is_opened(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(url_entry(server), imported_by="wav2lip")
    store = store_of(tmp_path, entry)
    network, source_sha256 = store.network_path(entry), hashlib.sha256(b"the checkpoint").hexdigest()
    network.parent.mkdir()
    network.write_bytes(CONTENT)
    seal(network, source_sha256)
    hashed = count_hashed_bytes(monkeypatch)
    installed = store.open_usable("tiny")
    assert sum(hashed) == len(CONTENT)  # the seal is no part of the sealed content
    assert (installed.path(NETWORK), installed.source_sha256) == (network, source_sha256)
