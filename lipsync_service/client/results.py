"""The addresses of results in the service's own storage: each follows from its request, so no other job writes it."""

from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import QUEUES


def result_urls(request: LipSyncRequest, area_url: str) -> tuple[str, ...]:
    """The addresses below `area_url` that a result of this request may have, made of all else that it asks for.

    The first is that of the request as it is. A batch gives its rows another queue after it has named their results.
    """
    asked = [request.model_copy(update={"output": f"file:///output{request.output_suffix}"})]
    asked += [asked[0].model_copy(update={"priority": each}) for each in QUEUES]
    digests = dict.fromkeys(each.digest for each in asked)
    return tuple(f"{area_url}/results/{each[:2]}/{each}{request.output_suffix}" for each in digests)
