"""Waits for a child run: for its handover in the shared storage, and seldom asks Prefect how the run is.

A look at the storage costs its server a hundredth of what a question costs Prefect's. The handover is the child's last
step, so the parent goes on while the child's process still ends. Prefect is asked for what a handover cannot tell: that
the child crashed, was cancelled, or was never begun.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from lipsync_core.errors import TransientError
from lipsync_service.client.retries import retried
from lipsync_service.errors import GpuRunError

SERVER_LIMIT_S = 300.0  # how long a run waits for Prefect's server
RETRY_S = 0.5
#: Pauses grow with the time waited, by this share: a child that has worked for a minute is looked for each 3 s.
_LOOK_SHARE, _LOOK_S = 0.05, (0.1, 3.0)
_ASK_SHARE, _ASK_S = 0.5, (3.0, 20.0)


@dataclass(slots=True)
class _Pace:
    """The times, in s since the beginning, at which something is done: often at first, then ever more seldom."""

    share: float  # of the time gone by
    bounds_s: tuple[float, float]
    next_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.next_s = self.bounds_s[0]

    def is_due(self, waited_s: float) -> bool:
        """Whether it is time; then the next time is set."""
        if waited_s < self.next_s:
            return False
        low, high = self.bounds_s
        self.next_s = waited_s + min(high, max(low, self.share * waited_s))
        return True


def finished_run(
    run_id: UUID, may_wait_s: float, has_handed_over: Callable[[], bool] = lambda: False
) -> FlowRun | None:
    """Wait for the run's handover (None), or for the run to end without one; also for a server that is restarted.

    Raises:
        GpuRunError: no worker has started the run within `may_wait_s`.
    """
    began = time.monotonic()
    look, ask = _Pace(_LOOK_SHARE, _LOOK_S), _Pace(_ASK_SHARE, (min(_ASK_S[0], may_wait_s), _ASK_S[1]))
    with get_client(sync_client=True) as client:
        while True:
            waited_s = time.monotonic() - began
            if look.is_due(waited_s) and _is_there(has_handed_over):
                return None
            if ask.is_due(waited_s):
                run = retried(partial(client.read_flow_run, run_id), is_away, SERVER_LIMIT_S, RETRY_S)
                if run.state is not None and run.state.is_final():
                    return None if _is_there(has_handed_over) else run
                if run.start_time is None and waited_s > may_wait_s:
                    raise GpuRunError(f"no worker of the GPU pool has begun the run {run_id}", "see that one is online")
            time.sleep(max(0.0, min(look.next_s, ask.next_s) - (time.monotonic() - began)))


def is_away(exc: Exception) -> bool:
    """Prefect's server is being restarted, or its database is."""
    if isinstance(exc, httpx.HTTPStatusError):
        return exc.response.is_server_error
    return isinstance(exc, httpx.TransportError)


def _is_there(has_handed_over: Callable[[], bool]) -> bool:
    try:
        return has_handed_over()
    except TransientError:  # the storage is being restarted; the child's stages wait for it as well
        return False
