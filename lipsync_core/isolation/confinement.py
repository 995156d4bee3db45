"""What a reader may do, from the moment on at which it opens a stranger's file."""

import resource
import signal
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lipsync_core
from lipsync_core.isolation.files import confine_to
from lipsync_core.isolation.system_calls import filter_system_calls

#: The ways of confinement: the first is everywhere on Linux, the others need a kernel with Landlock and seccomp.
KINDS = ("limits", "files", "system calls")
_STATM = Path("/proc/self/statm")
_MOST_FILES = 64


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """The room of one reader."""

    memory_bytes: int = 2 << 30  # of addresses, beyond those that it begins with
    cpu_s: int = 300  # for one answer, or from one item to the next
    wait_s: float = 1800.0  # on the wall, the same


def confine(files: Iterable[Path], limits: ReaderLimits) -> tuple[str, ...]:
    """Confine this process for good; returns those of `KINDS` that the system offers.

    It may read `files` and Python's own modules, and use so much memory and time. It can write nothing, start nothing,
    signal nobody and reach no network. Call it while the process has one thread.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails, and the process goes on
    _limit(resource.RLIMIT_AS, limits.memory_bytes + address_space_bytes())
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    renew_time(limits)
    done = (True, confine_to(files, module_folders()), filter_system_calls())
    return tuple(kind for kind, is_done in zip(KINDS, done, strict=True) if is_done)


def address_space_bytes() -> int:
    """The addresses that this process uses, which its limit of memory counts."""
    return int(_STATM.read_text().split()[0]) * resource.getpagesize()


def renew_time(limits: ReaderLimits) -> None:
    """Give this process `limits.cpu_s` of CPU time from now on; SIGXCPU ends it then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    until_s = int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (until_s if hard == resource.RLIM_INFINITY else min(until_s, hard), hard))


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


@cache
def module_folders() -> frozenset[Path]:
    """Where Python's modules lie, some of which are imported late; and what Linux says of a process itself."""
    paths = sysconfig.get_paths()
    folders = {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return frozenset(folders | {Path(lipsync_core.__file__).parent, Path("/proc/self")})
