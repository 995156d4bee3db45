"""How the launcher and its worker are started, wherever a worker runs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lipsync_service.worker.launch import SOURCE


def launcher_command(socket: Path) -> list[str]:
    """The launcher, listening at `socket`, whose folder is there."""
    return [sys.executable, "-m", "lipsync_service.worker.launcher", str(socket)]


def launcher_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for the launcher, with the deployed flows (LIPSYNC_SOURCE) on the import path.

    OpenBLAS would start threads at its import, and a process with threads must not fork.
    """
    paths = (environment.get(SOURCE), environment.get("PYTHONPATH"))
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OPENBLAS_NUM_THREADS": "1"}


def worker_command(pool: str) -> list[str]:
    """The worker of `pool`; any option of `prefect worker start` may follow."""
    worker = [sys.executable, "-m", "lipsync_service.worker.pool_worker", "worker", "start"]
    return [*worker, "--pool", pool, "--type", "process"]
