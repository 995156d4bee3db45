"""How many runs a host takes and how many threads each has: by its cores and memory, or by the one setting."""

import pytest

pytest.importorskip("pydantic_settings", reason="the extra service is not installed")

from lipsync_service.names import CPU_POOL, GPU_POOL
from lipsync_service.settings import Settings
from lipsync_service.worker.capacity import Machine, runs_at_once, threads_of_a_run, worker_limit

GIB = 1 << 30


@pytest.mark.parametrize(
    ("machine", "alone", "cpu", "gpu"),
    [
        (Machine(2, 8 * GIB), 2, 3, 2),
        (Machine(16, 64 * GIB), 16, 17, 16),
        (Machine(16, 4 * GIB), 5, 5, 5),  # the memory binds
        (Machine(1, GIB), 1, 1, 1),  # less memory than a job takes is no reason to take none
        (Machine(4, None), 4, 5, 4),
    ],
)
def test_runs_follow_from_cores_and_memory(machine: Machine, alone: int, cpu: int, gpu: int) -> None:
    assert runs_at_once(machine, CPU_POOL, has_gpu_pool=False) == alone
    assert [runs_at_once(machine, pool, has_gpu_pool=True) for pool in (CPU_POOL, GPU_POOL)] == [cpu, gpu]


def test_one_setting_moves_runs_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKER_LIMIT", "LIPSYNC_GPU_POOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lipsync_service.worker.capacity.usable_memory_bytes", lambda: 999 * GIB)
    monkeypatch.setenv("LIPSYNC_CORES", "12")
    assert (worker_limit(Settings(), CPU_POOL), threads_of_a_run(Settings())) == (12, 1)
    monkeypatch.setenv("LIPSYNC_GPU_POOL", GPU_POOL)  # jobs then wait for their parts there
    assert (worker_limit(Settings(), CPU_POOL), worker_limit(Settings(), GPU_POOL)) == (13, 12)
    assert threads_of_a_run(Settings()) == 1
    monkeypatch.setenv("WORKER_LIMIT", "3")  # fewer runs share the same cores
    assert (worker_limit(Settings(), CPU_POOL), threads_of_a_run(Settings())) == (3, 4)
