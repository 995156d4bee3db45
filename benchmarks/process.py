"""One command as a whole process: what it cost, by the operating system's own account.

Of its peak memory Linux says no less than what the process that started it held: it tells only of large commands. A
job's own report has it exactly.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What a finished process used."""

    cpu_s: float  # user + system, threads included
    wall_s: float
    peak_bytes: int  # resident; at least what this process held when it started the command


def run(
    command: Sequence[str | Path],
    output: Path | None = None,
    errors: int | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run `command` to its end; what it prints goes to `output`, or nowhere.

    Its messages go to `errors`, as `subprocess` counts (by default this process's own), it starts in `folder` and has
    `environment` (by default, this process's own).

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    with (output or Path(os.devnull)).open("wb") as file:
        words = [os.fspath(word) for word in command]
        process = subprocess.Popen(words, stdout=file, stderr=errors, cwd=folder, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, usage.ru_maxrss * 1024)
