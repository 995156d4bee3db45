"""How the launcher and its worker are started, wherever a worker runs."""

import sys
from collections.abc import Mapping
from pathlib import Path


def launcher_command(socket: Path) -> list[str]:
    """The launcher, listening at `socket`, whose folder is there."""
    return [sys.executable, "-m", "infra.worker.launcher", str(socket)]


def launcher_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for the launcher: OpenBLAS would start threads at its import, and nothing with threads may fork."""
    return {**environment, "OPENBLAS_NUM_THREADS": "1"}


def worker_command(pool: str) -> list[str]:
    """The worker of `pool`; any option of `prefect worker start` may follow."""
    worker = [sys.executable, "-m", "infra.worker.pool_worker", "worker", "start"]
    return [*worker, "--pool", pool, "--type", "process"]
