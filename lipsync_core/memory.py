"""The peak memory of this process, and what keeps its memory from growing."""

import ctypes
import logging
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from lipsync_core.readers_usage import largest_bytes, together_bytes

_STATUS, _ROLLUP = Path("/proc/self/status"), Path("/proc/self/smaps_rollup")
# mallopt(3): the parameters' numbers in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAPPED_BYTES = 8 * 2**20  # larger blocks grow with a clip; smaller ones are allocated and freed with every frame
# Free memory that stays at the heap's end. Returning a frame's arrays each time costs a quarter of all CPU time.
_KEPT_BYTES = 32 * 2**20

_log = logging.getLogger(__name__)


def peak_resident_bytes() -> int:
    """The peak resident memory since this program began, with that of its largest reader, and of copies beside it.

    Linux keeps it as VmHWM (proc(5)). `getrusage` also counts the program that started this one, so a large parent
    hides this program's memory: it serves only on a system without /proc.
    """
    own = _status_bytes("VmHWM")
    if own is not None:
        return max(own, together_bytes()) + largest_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """The resident memory of this process now; 0 where the system does not say."""
    return _status_bytes("VmRSS") or 0


def _status_bytes(name: str) -> int | None:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def own_bytes() -> int:
    """The memory of this process that no other shares; 0 where Linux does not say."""
    try:
        rollup = _ROLLUP.read_text()
    except OSError:
        return 0
    found = re.search(r"Private_Dirty:\s+(\d+) kB", rollup)
    return int(found[1]) * 1024 if found else 0


def give_memory_back() -> None:
    """Make glibc's allocator return freed memory to the system; do nothing with another allocator.

    Call it before threads start. By default glibc keeps an arena for each codec thread and, once a large block was
    freed, keeps all later blocks of that size: 20 MB more on 1080p, and more growth from one minute to ten. The
    setting changes the whole process, so a program makes it (the command line does), and no function of this library.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_free_memory_back() -> None:
    """Have glibc's allocator return all memory that is free now, wherever it lies; do nothing with another allocator.

    Call it between two stages of a job: what one thread has freed serves only threads that share its arena.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        _log.debug("no %s: not glibc", name)
        return None
    return function
