"""The names that the service's parts know each other by: flows, deployments, work pools, queues, states."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

JOB_FLOW: Final = "lipsync"
GPU_FLOW: Final = "lipsync-gpu"
BULK_FLOW: Final = "lipsync-bulk"

#: FLOW/DEPLOYMENT, as `prefect.yaml` registers them.
JOB_DEPLOYMENT: Final = f"{JOB_FLOW}/lipsync"
GPU_DEPLOYMENT: Final = f"{GPU_FLOW}/lipsync-gpu"

CPU_POOL: Final = "lipsync-cpu"
GPU_POOL: Final = "lipsync-gpu"
#: The queues of each pool with their priority; workers take from queue 1 first.
QUEUES: Final[Mapping[str, int]] = MappingProxyType({"interactive": 1, "bulk": 2})

#: The name of the state in which a run ends that asks for the work of an earlier job.
DUPLICATE: Final = "Duplicate"
