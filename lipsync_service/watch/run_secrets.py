"""The secrets in the parameters of runs, for the watcher: it opens those of callbacks, and seals what is left open."""

from lipsync_service.client.job import request_of
from lipsync_service.client.prefect_api import FlowRun, PrefectApi
from lipsync_service.client.sealing import Vault, has_secrets, opened, sealed
from lipsync_service.settings import Settings
from lipsync_service.watch.outcomes import callback_url


def opened_callback_url(run: FlowRun, settings: Settings) -> str | None:
    """The address that the job's caller gave for callbacks, with its secrets.

    Raises:
        UrlRefusedError: its seal is of another request, or is no longer kept.
        TransientError: the storage does not answer.
    """
    request = request_of(run)
    if request is None:  # of no version that this one reads; nothing of it was ever sealed
        return callback_url(run)
    return opened(request, Vault(settings, request.tenant)).callback_url


def seal_parameters(run: FlowRun, api: PrefectApi, settings: Settings) -> None:
    """Seal the secrets of a run that has ended before it could do so: it was cancelled while it waited.

    Raises:
        StorageError, TransientError: the storage does not take them.
        ServiceDownError: Prefect does not answer.
    """
    request = request_of(run)
    if request is not None and has_secrets(request):
        told = sealed(request, Vault(settings, request.tenant))
        api.replace_parameters(run.id, {**run.parameters, "request": told.model_dump(mode="json")})
