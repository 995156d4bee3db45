"""How much memory this process uses, and how it is kept from growing."""

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
_MAPPED_BYTES = 8 * 2**20  # larger blocks are what grows with a clip; smaller ones come and go with every frame
_KEPT_BYTES = 32 * 2**20  # at the heap's end: returned and asked for again, a frame's arrays cost a quarter of all CPU

_log = logging.getLogger(__name__)


def peak_resident_bytes() -> int:
    """The most memory that was resident since this program began.

    Linux keeps it as VmHWM (proc(5)). `getrusage` counts the program as well that started this one: under a large
    parent it reports the parent's memory. It serves where there is no /proc.
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
    """Tell glibc's allocator to return what is freed; elsewhere, do nothing. To be called before threads start.

    By default it keeps an arena for each codec thread and, once a large block was freed, holds on to all like it:
    20 MB more on 1080p, and more growth from one minute to ten. It changes the whole process, so a program decides
    it (the command line does), and no function of this library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        _log.debug("no mallopt: not glibc")
        return
    mallopt(_M_ARENA_MAX, _ARENAS)
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
