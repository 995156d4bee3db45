"""How much memory this process has used."""

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


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
