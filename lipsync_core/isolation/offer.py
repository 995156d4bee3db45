"""What confines the readers of this machine."""

from lipsync_core.isolation import reader
from lipsync_core.isolation.apart import read_apart


@read_apart
def offered() -> tuple[str, ...]:
    """Those of `confinement.KINDS` that hold here; empty outside of a reader."""
    return reader.confinement
