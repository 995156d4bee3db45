"""The two work pools and their queues, made through Prefect's API."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from lipsync_service.names import CPU_POOL, GPU_POOL, MOST_JOBS, QUEUES

_DESCRIPTIONS = {
    CPU_POOL: "Whole jobs: fetch, blend, encode, upload",
    GPU_POOL: "The part of a job that wants a GPU: track, infer",
}

#: Runs of a pool over all hosts; how many one host takes is its worker's --limit. The server counts them by their
#: states. A limit of the deployment would count by leases: the server forgets them when it is started again, and a run
#: that cannot renew its lease is ended.
_MOST_RUNS = {CPU_POOL: MOST_JOBS}


def ensure_pools(client: SyncPrefectClient) -> None:
    """Make the missing pools with their queues; existing pools keep their settings."""
    for pool, description in _DESCRIPTIONS.items():
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=pool, type="process", description=description, concurrency_limit=_MOST_RUNS.get(pool)
                )
            )
        except ObjectAlreadyExists:
            continue
        for queue, priority in QUEUES.items():
            client.create_work_queue(name=queue, work_pool_name=pool, priority=priority)
