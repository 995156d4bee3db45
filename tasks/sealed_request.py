"""The request of the present run: opened for its work, and sealed in its parameters, which Prefect keeps and shows."""

import logging
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client

from lipsync_core.errors import TransientError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.retries import retried
from lipsync_service.client.sealing import Vault, has_secrets, opened, sealed
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import Reach, area_url

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
        return Reach(settings, tenant, self.whole.result_urls(area_url(settings.storage_url, tenant)))


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
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(runtime.flow_run.id), parameters={"request": told.model_dump(mode="json")})
    except httpx.HTTPError as exc:  # the job is worth more; the watcher seals what is left when it ends
        _log.warning("the secrets stay in the parameters of this run: %s", type(exc).__name__)
    return HeldRequest(request, told)


def _patiently(call: "partial[LipSyncRequest]") -> LipSyncRequest:
    return retried(call, lambda exc: isinstance(exc, TransientError), _OUTAGE_S, _PAUSE_S)
