"""What confines the readers of this machine."""

from lipsync_core.apart import read_apart
from lipsync_core.isolation import reader


@read_apart
def offered() -> tuple[str, ...]:
    """Those of `confinement.KINDS` that hold here; empty outside of a reader."""
    return reader.confinement
