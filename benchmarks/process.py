"""Measures the cost of a command as a whole process, by the operating system's own account.

Linux gives a peak memory of at least that of the starting process, so the figure is right only for large commands. A
job's own report holds the exact one.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """The resources that a finished process used."""

    cpu_s: float  # user + system, threads included
    wall_s: float
    peak_bytes: int  # resident; at least that of this process when it started the command


def run(
    command: Sequence[str | Path],
    output: Path | None = None,
    errors: int | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run `command` to its end, with its standard output in the file `output`, or nowhere.

    `errors` is its standard error, in the form of `subprocess`. Standard error, `folder` and `environment` are by
    default those of this process.

    Raises:
        RuntimeError: the command failed.
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


def one_stream(clip: Path, speech: Path, home: Path) -> list[str | Path]:
    """The command of a job that one process renders as a whole, on any machine, into `home`; its report is JSON."""
    lipsync = Path(sys.executable).with_name("lipsync")
    options = ("--home", home, "--jobs", "1", "--quiet", "--json")
    return [lipsync, "run", clip, speech, "-o", home / "out.mp4", *options]
