"""The commands and the environment that start the launcher and a worker."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lipsync_service.worker.launch import SOURCE


def launcher_command(socket: Path) -> list[str]:
    """The command of a launcher that listens at `socket`; the socket's folder must exist."""
    return [sys.executable, "-m", "lipsync_service.worker.launcher", str(socket)]


def launcher_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for the launcher, with the deployed flows (LIPSYNC_SOURCE) on the import path.

    OpenBLAS is limited to one thread: it would start others at its import, and a process with threads must not fork.
    """
    paths = (environment.get(SOURCE), environment.get("PYTHONPATH"))
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OPENBLAS_NUM_THREADS": "1"}


def worker_command(pool: str) -> list[str]:
    """The command of a worker of `pool`; any option of `prefect worker start` may follow."""
    worker = [sys.executable, "-m", "lipsync_service.worker.pool_worker", "worker", "start"]
    return [*worker, "--pool", pool, "--type", "process"]
