"""The names by which the parts of the service know each other; `prefect.yaml` and containers use the same ones."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

JOB_FLOW: Final = "lipsync"
GPU_FLOW: Final = "lipsync-gpu"
SEGMENT_FLOW: Final = "lipsync-segment"
BULK_FLOW: Final = "lipsync-bulk"
GC_FLOW: Final = "lipsync-gc"
#: The flows whose runs are parts of a job, and those with the job's own.
PART_FLOWS: Final = (GPU_FLOW, SEGMENT_FLOW)
JOB_FLOWS: Final = (JOB_FLOW, *PART_FLOWS)

#: FLOW/DEPLOYMENT, as `prefect.yaml` registers them.
JOB_DEPLOYMENT: Final = f"{JOB_FLOW}/lipsync"
GPU_DEPLOYMENT: Final = f"{GPU_FLOW}/lipsync-gpu"
SEGMENT_DEPLOYMENT: Final = f"{SEGMENT_FLOW}/lipsync-segment"
BULK_DEPLOYMENT: Final = f"{BULK_FLOW}/lipsync-bulk"
GC_DEPLOYMENT: Final = f"{GC_FLOW}/lipsync-gc"
DEPLOYMENTS: Final = (JOB_DEPLOYMENT, GPU_DEPLOYMENT, SEGMENT_DEPLOYMENT, BULK_DEPLOYMENT, GC_DEPLOYMENT)

CPU_POOL: Final = "lipsync-cpu"
GPU_POOL: Final = "lipsync-gpu"

#: Jobs at work at once, over all hosts.
MOST_JOBS: Final = 32

#: Parts of one long job that are begun before those in front of them are joined.
MOST_PARTS: Final = 16

#: The queue that a job waits in.
Priority = Literal["interactive", "bulk"]
INTERACTIVE: Final = "interactive"
BULK: Final = "bulk"
#: The queues of each pool with their priority; workers take from queue 1 first.
QUEUES: Final[Mapping[Priority, int]] = MappingProxyType({INTERACTIVE: 1, BULK: 2})

#: The name of the state in which a run ends that asks for the work of an earlier job.
DUPLICATE: Final = "Duplicate"
#: The states of the ledger, and `scheduled` before a worker has accepted the job.
JobStateName = Literal["scheduled", "accepted", "running", "completed", "failed", "cancelled"]
JOB_STATES: Final[tuple[JobStateName, ...]] = get_args(JobStateName)

#: The path of Prefect's API that lists the workers of a pool.
WORKERS_PATH: Final = "/work_pools/{work_pool_name}/workers/filter"

#: The start of the names of Prefect's variables that tell callers the workers' limits.
_RULES: Final = "lipsync_rules_"

#: The keys of the artifacts that runs show and callers read.
PROGRESS_ARTIFACT: Final = "progress"
TIMINGS_ARTIFACT: Final = "timing-breakdown"
PARTS_ARTIFACT: Final = "parts"
PREFLIGHT_ARTIFACT: Final = "preflight"
RESULT_ARTIFACT: Final = "result"
CLEANED_ARTIFACT: Final = "cleaned"
#: The row of the parts' table that names the model.
MODEL_PART: Final = "model"

#: The task whose progress is that of the job's frames.
ENCODE_TASK: Final = "encode"


def rules_variable(pool: str) -> str:
    """The name of Prefect's variable that tells callers the limits of a pool's workers."""
    return f"{_RULES}{pool.replace('-', '_')}"
