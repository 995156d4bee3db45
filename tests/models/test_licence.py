"""The licence gate: nothing that forbids commercial use is fetched or used before its licence was accepted."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lipsync_core.errors import LicenceError, ModelMissingError
from tests.models.entries import CONTENT, installer, restricted, store_of, url_entry
from tests.web import FileServer


def test_a_restricted_licence_is_asked_for_before_a_byte_is_fetched(server: FileServer, folder: Path) -> None:
    store = store_of(folder, restricted(url_entry(server)))
    with pytest.raises(LicenceError) as caught:
        installer(store).pull("tiny")
    assert caught.value.code == "LICENCE_NOT_ACCEPTED"
    assert str(caught.value) == (
        "tiny comes under the licence 'Research only', which forbids commercial use: https://example.org/research; "
        "to accept it, run: lipsync models pull tiny --accept-licence"
    )
    assert server.requests == []
    assert not folder.exists()


def test_a_licence_is_accepted_once_and_written_down(server: FileServer, folder: Path) -> None:
    entry = restricted(url_entry(server))
    installer(store_of(folder, entry)).pull("tiny", accept_licence=True)
    record = folder / "accepted-licences" / "tiny.json"
    assert json.loads(record.read_text()) == {
        "schema": "lipsync.licence/1",
        "model": "tiny",
        "licence": "Research only",
        "date": datetime.now(UTC).date().isoformat(),
        "sha256": [hashlib.sha256(CONTENT).hexdigest()],
    }
    written = record.stat().st_mtime_ns
    (folder / "tiny" / "weights.onnx").unlink()
    installer(store_of(folder, entry)).pull("tiny")  # no longer asked for
    installer(store_of(folder, entry)).pull("tiny", accept_licence=True)
    store_of(folder, entry).open_usable("tiny")
    assert record.stat().st_mtime_ns == written


def test_an_installed_model_cannot_be_used_when_its_licence_is_not_accepted(server: FileServer, folder: Path) -> None:
    entry = restricted(url_entry(server))
    store = store_of(folder, entry)
    with pytest.raises(ModelMissingError):
        store.open_usable("tiny")
    installer(store).pull("tiny", accept_licence=True)
    server.requests.clear()
    (folder / "accepted-licences" / "tiny.json").unlink()
    with pytest.raises(LicenceError, match="forbids commercial use"):
        store.open_usable("tiny")
    with pytest.raises(LicenceError):
        installer(store).pull("tiny")
    installer(store).pull("tiny", accept_licence=True)  # nothing to fetch, only to accept
    store.open_usable("tiny")
    assert server.requests == []


def test_a_changed_licence_has_to_be_accepted_again(server: FileServer, folder: Path) -> None:
    entry = restricted(url_entry(server))
    installer(store_of(folder, entry)).pull("tiny", accept_licence=True)
    store = store_of(folder, replace(entry, licence="Research only, version 2"))
    with pytest.raises(LicenceError, match="version 2"):
        store.open_usable("tiny")
    installer(store).pull("tiny", accept_licence=True)
    store.open_usable("tiny")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"licence": "Research only"}', "\xff"])
def test_a_damaged_record_counts_as_not_accepted(text: str, server: FileServer, folder: Path) -> None:
    store = store_of(folder, restricted(url_entry(server)))
    installer(store).pull("tiny", accept_licence=True)
    (folder / "accepted-licences" / "tiny.json").write_text(text, encoding="latin-1")
    with pytest.raises(LicenceError):
        store.open_usable("tiny")
