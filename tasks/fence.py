"""The fence: an attempt that was only paused comes back, and changes nothing once its job has gone on without it.

Prefect's record of the run decides. The server gives every state an id, so the id of the state `Running` that an
attempt began with is its token: whatever ended the attempt for the service (a crash that was reported, another attempt,
a cancellation, an end) gave the run another state.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from lipsync_core.errors import TransientError
from lipsync_service.client.retries import retried
from lipsync_service.errors import SupersededError
from tasks.child_run import RETRY_S, SERVER_LIMIT_S, is_away
from tasks.run_context import present_run

#: A job is given to another attempt after 90 s of silence at the earliest, so an answer is good for a while.
_GOOD_FOR_S = 10.0


@dataclass(slots=True)
class Fence:
    """The hold of one attempt on its job."""

    run_id: UUID
    token: UUID | None  # the id of the state that the attempt runs in
    read: Callable[[UUID], FlowRun]  # asks Prefect for the run
    held_at_s: float = field(default=float("-inf"), init=False)  # the time.monotonic() of the last answer

    def check(self) -> None:
        """Make sure that the attempt still has its job, before something that others see.

        Raises:
            SupersededError: it does not.
            TransientError: Prefect's server does not answer.
        """
        asked_at_s = time.monotonic()
        try:
            run = retried(partial(self.read, self.run_id), is_away, SERVER_LIMIT_S, RETRY_S)
        except Exception as exc:
            if is_away(exc):
                raise TransientError(f"not known whether the run {self.run_id} goes on: {exc}", "try again") from exc
            raise
        if run.state_id != self.token:
            now = run.state.name if run.state else "without a state"
            message = f"the job has gone on without this attempt: its run is {now}"
            raise SupersededError(message, "it ends without a word; see the job's later attempts")
        self.held_at_s = asked_at_s

    def confirm(self) -> None:
        """As `check`, unless the attempt had its job a moment ago; a paused process has had no such moment."""
        if time.monotonic() > self.held_at_s + _GOOD_FOR_S:
            self.check()


def present_fence() -> Fence:
    """The fence of the present flow run.

    Raises:
        RuntimeError: no flow run is active.
    """
    run = present_run()
    return Fence(run.id, run.state_id, _read)


def _read(run_id: UUID) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)
