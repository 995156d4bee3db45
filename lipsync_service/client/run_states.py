"""States of runs: Prefect's words and those of this product, and the messages by which a run tells how it ended.

A flow ends itself with a message (`coded_message`, `duplicate_message`); callers and the watcher read it back here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from lipsync_core.errors import LipSyncError
from lipsync_service.errors import JobCancelledError, JobCrashedError
from lipsync_service.ledger.rows import JobState
from lipsync_service.names import DUPLICATE, JobStateName

_TYPES: Final[Mapping[JobStateName, tuple[str, ...]]] = MappingProxyType(
    {
        "scheduled": ("SCHEDULED",),
        "accepted": ("PENDING",),
        "running": ("RUNNING", "CANCELLING", "PAUSED"),
        "completed": ("COMPLETED",),
        "failed": ("FAILED", "CRASHED"),
        "cancelled": ("CANCELLED",),
    }
)
_STATES: Final = {type_: state for state, types in _TYPES.items() for type_ in types}
_FINAL: Final[tuple[JobStateName, ...]] = ("completed", "failed", "cancelled")
#: The errors that the types of states stand for, where the state's message has no code of its own.
_ERRORS: Final[Mapping[str, type[LipSyncError]]] = MappingProxyType(
    {"FAILED": LipSyncError, "CRASHED": JobCrashedError, "CANCELLED": JobCancelledError}
)
_CODED = re.compile(r"([A-Z][A-Z0-9_]*): (.+)", re.DOTALL)
_SAME_AS = re.compile(r"the same as job ([0-9a-f]{8}-[0-9a-f-]{27})")


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run has no result."""

    code: str  # of the error
    words: str  # of an error of this product; empty where the run ended by any other cause


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run, in Prefect's words."""

    type: str  # SCHEDULED, PENDING, RUNNING, CANCELLING, PAUSED, COMPLETED, FAILED, CRASHED or CANCELLED
    name: str
    message: str
    since: datetime

    @property
    def job_state(self) -> JobStateName:
        """The same in the ledger's words."""
        return _STATES[self.type]

    @property
    def is_final(self) -> bool:
        """The run stays in this state by itself."""
        return is_final(self.job_state)

    @property
    def is_duplicate(self) -> bool:
        """The run did nothing, because another job has its idempotency key and request."""
        return self.name == DUPLICATE

    @property
    def failure(self) -> RunFailure | None:
        """Why the run failed, crashed or was cancelled; None in any other state."""
        kind = _ERRORS.get(self.type)
        if kind is None:
            return None
        coded = _CODED.fullmatch(self.message) if kind is LipSyncError else None
        return RunFailure(coded[1], coded[2]) if coded else RunFailure(kind.code, "")

    @property
    def same_as(self) -> UUID | None:
        """The job that a duplicate names; None where the run is no duplicate."""
        found = _SAME_AS.search(self.message) if self.is_duplicate else None
        return UUID(found[1]) if found else None


def is_final(state: JobStateName | JobState) -> bool:
    """Nothing more happens to a job in this state by itself."""
    return state in _FINAL


def state_types(states: Iterable[JobStateName]) -> tuple[str, ...]:
    """Prefect's types of these states."""
    return tuple(type_ for state in states for type_ in _TYPES[state])


#: The types of states in which a run has ended.
FINAL_TYPES: Final = frozenset(state_types(_FINAL))


def coded_message(error: LipSyncError) -> str:
    """The message of a run that `error` ended: it begins with the stable code."""
    return f"{error.code}: {error}"


def duplicate_message(job_id: UUID, state: JobState) -> str:
    """The message of a duplicate of job `job_id`, which is in `state`."""
    return f"the same as job {job_id}, which is {state}"


def retry_command(job_id: UUID) -> str:
    """The command that runs the job again."""
    return f"lipsync jobs retry {job_id}"
