"""Prefect's process worker without needless costs (questions asked twice, two streams for each run) and a fault.

`tests/service/worker/test_trim_worker.py` fails where another version of Prefect (this is 3.8.8) has no such names.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, Self, TypeVar
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.runner import _flow_run_executor as executor
from prefect.runner._event_emitter import EventEmitter
from prefect.runner._state_proposer import StateProposer

from lipsync_service.worker.cancelling import SharedCancellingObserver
from lipsync_service.worker.crash_report import may_report

#: For how long a deployment or flow is not asked for again, s: its change reaches the runs that start after that.
_KNOWN_FOR_S: Final = 10.0


class _Copied(Protocol):
    def model_copy(self, *, deep: bool) -> Self: ...


_Found = TypeVar("_Found", bound=_Copied)


class LateEventEmitter(EventEmitter):
    """Opens its stream for the one event that it ever sends: that a run was cancelled. Prefect's opens one a run."""

    async def __aenter__(self) -> "LateEventEmitter":
        return self

    async def emit_flow_run_cancelled(self, *arguments: Any, **named: Any) -> None:
        """Open the stream, send the event and close it."""
        async with EventEmitter(runner_name=self._runner_name, client=self._client) as emitter:
            await emitter.emit_flow_run_cancelled(*arguments, **named)


class OwnStateProposer(StateProposer):
    """Reports the crash of the process that this worker has started, and not that of a later attempt."""

    async def propose_crashed(self, flow_run: FlowRun, message: str) -> State[Any] | None:
        """Report the crash, unless the run has gone on since."""
        if await may_report(self._client.read_flow_run, flow_run):
            return await super().propose_crashed(flow_run, message)
        return None


_PARTS: Final = {
    "EventEmitter": LateEventEmitter,
    "FlowRunCancellingObserver": SharedCancellingObserver,
    "StateProposer": OwnStateProposer,
}


def trim_worker() -> None:
    """Have the workers of this process open no streams for a single run. Call it once."""
    for name, part in _PARTS.items():
        if not hasattr(executor, name):  # nothing may be set that nothing reads
            raise RuntimeError(f"prefect.runner._flow_run_executor has no {name}: look for it in this version")
        setattr(executor, name, part)


def remembered(read: Callable[[UUID], Awaitable[_Found]]) -> Callable[[UUID], Awaitable[_Found]]:
    """`read`, which asks for the same id at most once in 10 s; each answer is a copy of its own."""
    known: dict[UUID, tuple[float, _Found]] = {}

    async def read_or_recall(key: UUID) -> _Found:
        found = known.get(key)
        if found is None or time.monotonic() > found[0] + _KNOWN_FOR_S:
            found = known[key] = (time.monotonic(), await read(key))
        return found[1].model_copy(deep=True)

    return read_or_recall
