"""The room for the opening of a file in a reader: what FFmpeg does there is not bounded by the file's size.

It builds the whole index, and the time it takes over many tags or chapters grows with the square of their number.
"""

import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.apart import is_reader
from lipsync_core.errors import LipSyncError, MemoryShortageError
from lipsync_core.limit_errors import MemoryLimitError
from lipsync_core.limits import Limits
from lipsync_core.shortage import shortage_behind

_STATUS = Path("/proc/self/status")


@contextmanager
def opening_room(present: Limits) -> Iterator[None]:
    """Let a reader take no more memory and processor time in the block than an opening may.

    Beyond the time, SIGPROF ends the process: SIGXCPU would say that it had read for too long. Another process than a
    reader has other threads, so its limits stay.

    Raises:
        MemoryLimitError: the block failed because memory ran out.
    """
    if not is_reader():
        yield
        return
    taken_bytes, (soft, hard) = _address_space_bytes(), resource.getrlimit(resource.RLIMIT_AS)
    most = taken_bytes + present.max_opening_memory_bytes
    most = most if soft == resource.RLIM_INFINITY else min(soft, most)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    signal.setitimer(signal.ITIMER_PROF, present.max_opening_cpu_s)
    try:
        yield
    except Exception as exc:  # looked at while the limit holds that was met
        if _is_shortage(exc):
            mib = (most - taken_bytes) >> 20
            raise MemoryLimitError(f"it takes more than {mib} MiB to be opened", "give a smaller file") from exc
        raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _is_shortage(exc: Exception) -> bool:
    is_told = isinstance(exc, LipSyncError) and not isinstance(exc, MemoryShortageError)
    return not is_told and shortage_behind(exc) is not None


def _address_space_bytes() -> int:
    found = re.search(r"VmSize:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else 0
