"""One requirement of a job, as `lipsync doctor` has found it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one requirement of a job."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""  # the command that mends a fault
