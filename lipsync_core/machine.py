"""The processor cores and the memory that this process may use: of the machine, or of its container."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_V2, _V1_CPU, _V1_MEMORY = "", "cpu", "memory"  # controllers as /proc/self/cgroup names them; empty: version 2


def usable_cores(root: Path = _ROOT) -> int:
    """The cores of this process's affinity, or fewer where a container's quota gives less CPU time; at least 1.

    Files are read below `root`. A quota of 1.5 cores counts as 2. Source of the files: the kernel's documentation of
    cgroups, `cpu.max` (version 2), `cpu.cfs_quota_us` (version 1).
    """
    quotas = [quota for folder in _folders(root, _V2) if (quota := _quota(_words(folder / "cpu.max")))]
    for folder in _folders(root, _V1_CPU):
        words = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
        quotas += [quota] if (quota := _quota(words)) else []
    return max(1, min([allowed_cores(), *quotas]))


def allowed_cores() -> int:
    """The cores of this process's affinity, whatever its quota: those that libraries count."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def usable_memory_bytes(root: Path = _ROOT) -> int | None:
    """The machine's memory, or less where a container's limit is lower; None where the system does not say.

    Files are read below `root`: `meminfo` (proc(5)), `memory.max` and `memory.limit_in_bytes` of cgroups.
    """
    total = [int(line.split()[1]) * 1024 for line in _lines(root / "proc/meminfo") if line.startswith("MemTotal:")]
    limits = [words[0] for folder in _folders(root, _V2) if (words := _words(folder / "memory.max"))]
    limits += [words[0] for folder in _folders(root, _V1_MEMORY) if (words := _words(folder / "memory.limit_in_bytes"))]
    return min([*total, *(int(limit) for limit in limits if limit.isdigit())], default=None)


def _quota(words: list[str]) -> int | None:
    """The cores of "QUOTA PERIOD" in microseconds; None without a limit ("max", or -1)."""
    if len(words) != 2 or not words[0].isdigit() or not int(words[1]):
        return None
    return math.ceil(int(words[0]) / int(words[1]))


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all groups around it, in which a limit may stand."""
    mounted = root / "sys/fs/cgroup" / controller
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            group = mounted / path.lstrip("/")
            yield from (each for each in (group, *group.parents) if each.is_relative_to(mounted))


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # no such limit, or no such system
        return []
