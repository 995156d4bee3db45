"""The peak memory of this process, and a setting that keeps its memory from growing."""

import ctypes
import logging
import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
# mallopt(3): the parameters' numbers in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAPPED_BYTES = 8 * 2**20  # larger blocks grow with a clip; smaller ones are allocated and freed with every frame
# Free memory that stays at the heap's end. Returning a frame's arrays each time costs a quarter of all CPU time.
_KEPT_BYTES = 32 * 2**20

_log = logging.getLogger(__name__)


def peak_resident_bytes() -> int:
    """The peak resident memory since this program began.

    Linux keeps it as VmHWM (proc(5)). `getrusage` also counts the program that started this one, so a large parent
    hides this program's memory: it serves only on a system without /proc.
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_memory_back() -> None:
    """Make glibc's allocator return freed memory to the system; do nothing with another allocator.

    Call it before threads start. By default glibc keeps an arena for each codec thread and, once a large block was
    freed, keeps all later blocks of that size: 20 MB more on 1080p, and more growth from one minute to ten. The
    setting changes the whole process, so a program makes it (the command line does), and no function of this library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        _log.debug("no mallopt: not glibc")
        return
    mallopt(_M_ARENA_MAX, _ARENAS)
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
