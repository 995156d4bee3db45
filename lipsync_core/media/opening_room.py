"""The room for the opening of a file in a reader: what FFmpeg does there is not bounded by the file's size.

It builds the whole index, and the time it takes over many tags or chapters grows with the square of their number.
"""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.apart import is_reader
from lipsync_core.limits import Limits

_STATUS = Path("/proc/self/status")


@contextmanager
def opening_room(present: Limits) -> Iterator[None]:
    """Let a reader take no more memory and processor time in the block than an opening may.

    Beyond the memory, libraries fail; beyond the time, SIGXCPU ends the process. Another process than a reader has
    other threads, so its limits stay.
    """
    if not is_reader():
        yield
        return
    memory, time = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_AS, _address_space_bytes() + present.max_opening_memory_bytes)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + present.max_opening_cpu_s)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)
        resource.setrlimit(resource.RLIMIT_CPU, time)


def _lower(which: int, most: int) -> None:
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if soft == resource.RLIM_INFINITY else min(soft, most), hard))


def _address_space_bytes() -> int:
    found = re.search(r"VmSize:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else 0
