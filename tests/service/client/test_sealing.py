"""Secrets in addresses: sealed in parameters, opened for their own request alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import NOT_INSTALLED

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.sealing import Vault, discard_seal, has_secrets, opened, sealed
from lipsync_service.errors import UrlRefusedError

CANARY = "canary-4f1c"
SECRETS = {
    "video": f"https://bucket.example.com/in/face.mp4?X-Amz-Signature={CANARY}1",
    "audio": f"https://me:{CANARY}2@example.com/speech.wav",
    "output": f"https://bucket.example.com/out/face.mov?sig={CANARY}3#{CANARY}4",
    "callback_url": f"https://hooks.example.com/services/{CANARY}5/{CANARY}6",
}
PLAIN = {"video": "s3://in/v.mp4", "audio": "https://example.com/a.wav", "output": "s3://out/o.mp4"}


@pytest.fixture
def vault(settings: Callable[..., Any]) -> Vault:
    return Vault(settings())


def test_what_is_told_holds_no_secret_and_opens_to_the_same_request(vault: Vault) -> None:
    whole = LipSyncRequest(**SECRETS, crf=21, metadata={"a": "b"})
    told = sealed(whole, vault)
    parameters = json.dumps(told.model_dump(mode="json"))
    assert CANARY not in parameters and "me:" not in parameters
    read = LipSyncRequest.model_validate_json(parameters)  # a form that every field accepts
    assert opened(read, vault) == whole
    assert read.digest == whole.digest  # the same job by its key, sealed or not
    assert read.output_suffix == ".mov" and read.video.startswith("https://bucket.example.com/in/face.mp4#")
    assert not has_secrets(read) and sealed(read, vault) == read


def test_a_request_without_secrets_stays_as_it_is_and_nothing_is_stored(vault: Vault, tmp_path: Path) -> None:
    plain = LipSyncRequest(**PLAIN)
    assert sealed(plain, vault) is plain and opened(plain, vault) is plain
    assert not (tmp_path / "storage").exists()


def test_a_seal_opens_for_its_own_request_alone(vault: Vault) -> None:
    """Whoever reads a reference in the UI cannot have the service fetch the file for another output."""
    told = sealed(LipSyncRequest(**SECRETS), vault)
    stolen = [
        told.model_copy(update={"output": "s3://mine/o.mp4"}),
        told.model_copy(update={"video": told.audio}),
        told.model_copy(update={"crf": 22}),
        LipSyncRequest(**{**PLAIN, "video": told.video}),
        told.model_copy(update={"callback_url": None}),
        told.model_copy(update={"tenant": "acme"}),
    ]
    for request in stolen:
        with pytest.raises(UrlRefusedError, match="not its own"):
            opened(request, vault)


def test_a_seal_is_none_where_its_file_is_gone_or_it_is_made_up(vault: Vault, tmp_path: Path) -> None:
    told = sealed(LipSyncRequest(**SECRETS), vault)
    made_up = told.model_copy(update={"video": told.video[:-32] + "0" * 32})
    with pytest.raises(UrlRefusedError):
        opened(made_up, vault)
    discard_seal(told, vault)
    assert not [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]
    with pytest.raises(UrlRefusedError):
        opened(told, vault)


def test_the_secrets_of_a_tenant_lie_in_its_own_folder(vault: Vault, tmp_path: Path) -> None:
    request = LipSyncRequest(**SECRETS, tenant="acme")
    told = sealed(request, Vault(vault.settings, "acme"))
    [kept] = [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]
    assert kept.parent == tmp_path / "storage/tenants/acme/secrets"
    assert opened(told, Vault(vault.settings, "acme")) == request
    with pytest.raises(UrlRefusedError):
        opened(told, vault)


def test_reading_secrets_leaves_no_copy_on_this_host(vault: Vault) -> None:
    opened(sealed(LipSyncRequest(**SECRETS), vault), vault)
    cache = vault.settings.cache_dir
    assert not cache.exists() or not [path for path in cache.rglob("*") if path.is_file()]


def test_an_address_that_is_long_is_sealed_in_one_that_is_not_too_long(vault: Vault) -> None:
    long = {**PLAIN, "output": f"https://example.com/{'a' * 4000}/o.mov?s=1"}
    told = sealed(LipSyncRequest(**long), vault)
    read = LipSyncRequest.model_validate(told.model_dump(mode="json"))
    assert read.output_suffix == ".mov" and opened(read, vault).output == long["output"]
