"""One command as a whole process: what it cost, by the operating system's own account.

Its peak memory is not among it: Linux counts the memory of the process that started it. The job's own report has it.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What a finished process used."""

    cpu_s: float  # user + system, threads included
    wall_s: float


def run(command: Sequence[str | Path], output: Path | None = None) -> Cost:
    """Run `command` to its end; what it prints goes to `output`, or nowhere.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    with (output or Path(os.devnull)).open("wb") as file:
        process = subprocess.Popen([os.fspath(word) for word in command], stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - started)
