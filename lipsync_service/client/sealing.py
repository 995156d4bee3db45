"""Keeps the secrets in a request's addresses out of Prefect's database: they lie in the storage, and a reference goes.

A presigned address gives access to whoever reads it, and users of Prefect's UI read the parameters of all runs. So the
addresses that hold a query, a user or a password, and every callback's address, are stored in one file below the
service's `secrets/`. In their places stand the host and the path, and a fragment with the name of that file:
https://bucket.example.com/face.mp4#sealed=DIGEST.NAME. DIGEST is that of the whole request: an address opens for that
request alone, so a reference that is copied into another request is refused.

The client seals before it submits, where it knows the storage. A run seals what came by another door when it starts.
"""

import hashlib
import json
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lipsync_core.shown_text import shown_url
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import ObjectMissingError, UrlRefusedError
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import area_url
from lipsync_service.storage.seals import Seal, seal_of

if TYPE_CHECKING:
    from lipsync_service.storage.storage import Storage

_FIELDS = ("video", "audio", "output", "callback_url")
_LONGEST_SHOWN = 3800  # a sealed address must be no longer than an address may be
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Vault:
    """The place of the secrets of one tenant's requests, or of those without a tenant."""

    settings: Settings
    tenant: str | None = None

    def keep(self, addresses: Mapping[str, str]) -> str:
        """Store the addresses; returns the name of their file. Raises as `Storage.put_shared`."""
        name = secrets.token_hex(16)
        with tempfile.NamedTemporaryFile(
            "w", prefix="lipsync-secrets-", encoding="utf-8"
        ) as file:  # of this user alone
            json.dump(dict(addresses), file)
            file.flush()
            self._storage().put_shared(Path(file.name), self._url(name))
        return name

    def read(self, name: str) -> dict[str, str]:
        """The addresses that were stored under `name`; no copy stays on this host. Raises as `Storage.read_shared`."""
        found = json.loads(self._storage().read_shared(self._url(name), _MOST_BYTES))
        return {str(field): str(url) for field, url in found.items()}

    def discard(self, name: str) -> None:
        """Remove them."""
        self._storage().discard(self._url(name))

    def _url(self, name: str) -> str:
        return f"{area_url(self.settings.storage_url, self.tenant)}/secrets/{name}.json"

    def _storage(self) -> "Storage":
        from lipsync_service.storage.storage import Storage  # callers without secrets need none of it

        return Storage(self.settings.model_copy(update={"tenants": {}}))


def has_secrets(request: LipSyncRequest) -> bool:
    """Whether an address of the request holds a secret that is not sealed."""
    return bool(_secret_addresses(request))


def sealed(request: LipSyncRequest, vault: Vault) -> LipSyncRequest:
    """The request with references in the places of its secrets, which are stored first; itself where it holds none.

    Raises:
        StorageError, TransientError: as `Storage.put_shared`.
    """
    held = _secret_addresses(request)
    if not held:
        return request
    seal = Seal(request.digest, vault.keep(held))
    return request.model_copy(update={field: _reference(field, url, seal) for field, url in held.items()})


def opened(request: LipSyncRequest, vault: Vault) -> LipSyncRequest:
    """The request with its secrets; itself where none is sealed.

    Raises:
        UrlRefusedError: the reference is of another request, or its file is gone.
        TransientError: the storage does not answer.
    """
    seals = {field: seal for field in _FIELDS if (seal := seal_of(getattr(request, field) or "")) is not None}
    if not seals:
        return request
    try:
        [seal] = set(seals.values())
        held = vault.read(seal.name)
        whole = request.model_copy(update={field: held[field] for field in seals})
    except (ValueError, KeyError, ObjectMissingError) as exc:
        raise _not_opened() from exc
    references = {field: _reference(field, held[field], seal) for field in seals}
    if whole.digest != seal.digest or any(getattr(request, field) != told for field, told in references.items()):
        raise _not_opened()
    return whole


def sealed_url(url: str, vault: Vault) -> str:
    """As `sealed`, for one address that stands for itself: that of a manifest."""
    if not _is_secret("manifest", url):
        return url
    return _reference("manifest", url, Seal(_sha256(url), vault.keep({"manifest": url})))


def opened_url(url: str, vault: Vault) -> str:
    """As `opened`, for an address of `sealed_url`."""
    seal = seal_of(url)
    if seal is None:
        return url
    try:
        held = vault.read(seal.name)["manifest"]
    except (ValueError, KeyError, ObjectMissingError) as exc:
        raise _not_opened() from exc
    if _sha256(held) != seal.digest:
        raise _not_opened()
    return held


def discard_seal(request: LipSyncRequest, vault: Vault) -> None:
    """Remove the stored secrets of a sealed request that became no job."""
    for name in {seal.name for field in _FIELDS if (seal := seal_of(getattr(request, field) or "")) is not None}:
        vault.discard(name)


def _secret_addresses(request: LipSyncRequest) -> dict[str, str]:
    addresses = {field: getattr(request, field) for field in _FIELDS}
    return {field: url for field, url in addresses.items() if url is not None and _is_secret(field, url)}


def _is_secret(field: str, url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # nobody can say what it holds
    if parts.scheme not in ("http", "https") or seal_of(url) is not None:
        return False
    # The address of a receiver of callbacks is often a secret as a whole.
    return bool(field == "callback_url" or parts.query or parts.fragment or "@" in parts.netloc)


def _reference(field: str, url: str, seal: Seal) -> str:
    parts = urlsplit(shown_url(url))
    path = "/" if field == "callback_url" else parts.path
    if len(path) > _LONGEST_SHOWN:
        path = f"/output{Path(path).suffix}"
    return f"{parts.scheme}://{parts.netloc}{path}#{seal}"


def _sha256(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _not_opened() -> UrlRefusedError:
    return UrlRefusedError("the request's sealed addresses are not its own, or are no longer kept", "submit it anew")
