"""How many runs a host takes at once, and how many threads each has: what its cores and its memory allow."""

from dataclasses import dataclass
from typing import Final

from lipsync_core.machine import usable_cores, usable_memory_bytes
from lipsync_service.names import CPU_POOL
from lipsync_service.settings import Settings

_MIB: Final = 1 << 20
#: The memory of one more job: `wav2lip` on 1280x720 (docs/containers.md).
JOB_BYTES: Final = 600 * _MIB
#: What the service's own parts on a host take: launcher and workers, and all of them where `make up` runs them.
SERVICE_BYTES: Final = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class Machine:
    """What the runs of one host may use together."""

    cores: int
    memory_bytes: int | None  # None: unknown, which sets no limit


def this_machine(settings: Settings) -> Machine:
    """This host, or its container; LIPSYNC_CORES overrides the number of cores."""
    return Machine(settings.cores or usable_cores(), usable_memory_bytes())


def runs_at_once(machine: Machine, pool: str, has_gpu_pool: bool) -> int:
    """The runs that a worker of `pool` takes at once: one for each core, as far as the memory goes.

    With a GPU pool the CPU pool takes one more: a job's run there waits, without a core, while its part on the GPU pool
    works, so the number limits the load of a machine with both pools. Without, one more than the cores gained nothing:
    jobs that share a core cost 3 % more CPU.
    """
    runs = machine.cores + 1 if has_gpu_pool and pool == CPU_POOL else machine.cores
    if machine.memory_bytes is not None:
        runs = min(runs, (machine.memory_bytes - SERVICE_BYTES) // JOB_BYTES)
    return max(1, runs)


def worker_limit(settings: Settings, pool: str) -> int:
    """The runs that this host's worker of `pool` takes at once: WORKER_LIMIT, or what the machine allows."""
    return settings.worker_limit or runs_at_once(this_machine(settings), pool, settings.gpu_pool is not None)


def threads_of_a_run(settings: Settings) -> int:
    """The threads of each codec and each network in a run on this host, which shares it with as many as may run.

    Threads hardly change the CPU time of a job; one that finds no free core only costs memory (x264: 20 MB on
    1280x720).
    """
    return max(1, this_machine(settings).cores // worker_limit(settings, CPU_POOL))
