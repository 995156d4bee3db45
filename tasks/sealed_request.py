"""The request of the present run: opened for its work, and sealed in its parameters, which Prefect keeps and shows."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client

from lipsync_core.errors import TransientError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.results import result_urls
from lipsync_service.client.retries import retried
from lipsync_service.client.sealing import Vault, has_secrets, opened, opened_url, sealed, sealed_url
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import Reach, area_url

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_OUTAGE_S = 180.0  # how long a run waits for the storage, as the stages do
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A request in both forms. They are the same where no address holds a secret."""

    whole: LipSyncRequest  # for the work
    told: LipSyncRequest  # sealed, for parameters of runs

    def reach(self, settings: Settings) -> Reach:
        """What its addresses may name. Raises OptionError as `Reach`."""
        tenant = self.whole.tenant
        return Reach(settings, tenant, result_urls(self.whole, area_url(settings.storage_url, tenant)))


def hold_request(settings: Settings, request: LipSyncRequest) -> HeldRequest:
    """Open the request of this run, or seal it where it came with its secrets (over REST, or from the form).

    Raises:
        UrlRefusedError: the sealed addresses are not those of this request.
        StorageError, TransientError: the storage does not take or give the secrets.
    """
    Reach(settings, request.tenant)
    vault = Vault(settings, request.tenant)
    if not has_secrets(request):
        return HeldRequest(_patiently(partial(opened, request, vault)), request)
    told = _patiently(partial(sealed, request, vault))
    _tell({"request": told.model_dump(mode="json")})
    return HeldRequest(request, told)


def hold_manifest(settings: Settings, manifest: str, tenant: str | None, retry_failed: bool) -> str:
    """The address of the manifest of this run, which is sealed in the run's parameters as those of requests are.

    Raises: as `hold_request`.
    """
    Reach(settings, tenant)
    vault = Vault(settings, tenant)
    whole = _patiently(partial(opened_url, manifest, vault))
    told = _patiently(partial(sealed_url, manifest, vault))
    if told != manifest:
        _tell({"manifest": told, "retry_failed": retry_failed, "tenant": tenant})
    return whole


def _tell(parameters: dict[str, Any]) -> None:
    """Replace the parameters of this run."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(runtime.flow_run.id), parameters=parameters)
    except httpx.HTTPError as exc:  # the job is worth more; the watcher seals what is left when it ends
        _log.warning("the secrets stay in the parameters of this run: %s", type(exc).__name__)


def _patiently(call: "partial[_T]") -> _T:
    return retried(call, lambda exc: isinstance(exc, TransientError), _OUTAGE_S, _PAUSE_S)
