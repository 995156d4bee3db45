"""The runs that do parts of a job on other workers: begun as the pool takes them, and followed by their states.

A job's own run has a slot of its pool while it waits, so it does parts too, and does all where the pool has one slot.
No part is ordered before the pool has taken those that were ordered before, but two: what nobody takes costs next to
nothing.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Generic, Protocol, TypeVar, cast
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.states import Cancelled, Cancelling

from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.retries import retried
from lipsync_service.names import MOST_PARTS
from tasks.child_run import RETRY_S, SERVER_LIMIT_S, is_away
from tasks.part_order import PartOrder

_log = logging.getLogger(__name__)
_UNTAKEN = 2  # runs that wait for a worker, at most
_TURN_S = 2.0  # between two questions to Prefect
_END_S = 5.0  # for a run that is being ordered as the job ends; who orders it cancels it


class RunPhase(Enum):
    """How far a run has come."""

    WAITING = "waiting"  # for a worker
    AT_WORK = "at work"
    ENDED = "ended"


_P = TypeVar("_P", bound=PartOrder)


class RunsApi(Protocol):
    """What is asked of Prefect."""

    def order(self, order: PartOrder) -> UUID:
        """Have a run do the part."""

    def phases(self, run_ids: Sequence[UUID]) -> Mapping[UUID, RunPhase]:
        """How far the runs have come; those that nobody knows are left out."""

    def cancel(self, run_id: UUID, is_waiting: bool) -> None:
        """Stop the run, if it has not ended."""


@dataclass(slots=True)
class _Run:
    id: UUID
    phase: RunPhase = RunPhase.WAITING


@dataclass(slots=True)
class PartRuns(Generic[_P]):
    """The runs of one job's parts; a context manager, which cancels those that are left."""

    api: RunsApi
    orders: Sequence[_P]
    is_done: set[int]  # the parts that are done, as far as is known
    is_ready: Callable[[int], bool] = lambda _: True  # whether what a part needs is there
    joined: int = 0  # the part that is joined next
    _ready: set[int] = field(default_factory=set)
    _began_s: float = field(default_factory=time.monotonic)
    _here: set[int] = field(default_factory=set)  # done by the job's own run, or by nobody
    _reserved: set[int] = field(default_factory=set)  # that are being ordered
    _runs: dict[int, _Run] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "PartRuns[_P]":
        self._thread = threading.Thread(target=copy_context().run, args=(self._turns,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread:
            self._thread.join(_END_S)
        with self._lock:
            left = [run for number, run in self._runs.items() if number not in self.is_done]
        for run in left:
            if run.phase is not RunPhase.ENDED:
                self._cancel(run)

    @property
    def waited_s(self) -> float:
        """How long ago the first run was ordered, or could be."""
        return time.monotonic() - self._began_s

    def order_again(self, number: int) -> None:
        """Have another run do a part that was lost."""
        with self._lock:
            self._here.discard(number)

    def take(self) -> _P | None:
        """A part that no run is at: the last one of those that may be begun, as runs take the first ones."""
        self._see_what_is_ready()
        with self._lock:
            free = [number for number in self._window() if self._is_free(number)]
            unordered = [number for number in free if number not in self._runs]
            if not free:
                return None
            number = (unordered or free)[-1]
            self._here.add(number)
            run = self._runs.pop(number, None)
        if run is not None:
            self._cancel(run)
        return self.orders[number]

    def is_lost(self, number: int) -> bool:
        """Whether a part that is not there is nobody's: its run has ended, or it was there and has gone."""
        with self._lock:
            if number in self.is_done:
                self.is_done.discard(number)
                self._here.add(number)
                return True
            run = self._runs.get(number)
            if run is None or run.phase is not RunPhase.ENDED:
                return False
            self._here.add(number)
            del self._runs[number]
        _log.warning("the run of %s has ended without it", self.orders[number].stage)
        return True

    @property
    def are_all_waiting(self) -> bool:
        """Whether no worker has begun any of the runs that there are."""
        with self._lock:
            return all(run.phase is RunPhase.WAITING for run in self._runs.values())

    def turn(self) -> None:
        """Ask how the runs are, and order more where the pool has taken those that there are."""
        self._see_what_is_ready()
        with self._lock:
            followed = [run for run in self._runs.values() if run.phase is not RunPhase.ENDED]
        phases = self.api.phases([run.id for run in followed]) if followed else {}
        with self._lock:
            for run in followed:
                run.phase = phases.get(run.id, RunPhase.ENDED)
            waiting = sum(run.phase is RunPhase.WAITING for run in self._runs.values())
            fresh = [number for number in self._window() if self._is_free(number) and number not in self._runs]
            fresh = fresh[: max(0, _UNTAKEN - waiting)]
            self._reserved.update(fresh)
        try:
            for number in fresh:  # the server may be away for minutes, in which the job's run takes other parts
                if self._end.is_set():
                    return
                run = _Run(self.api.order(self.orders[number]))
                with self._lock:
                    self._runs[number] = run
                if self._end.is_set():  # nobody else knows of it
                    self._cancel(run)
        finally:
            self._reserved.difference_update(fresh)

    def _window(self) -> range:
        return range(self.joined, min(len(self.orders), self.joined + MOST_PARTS))

    def _see_what_is_ready(self) -> None:
        for number in self._window():
            if number not in self._ready and self.is_ready(number):
                self._ready.add(number)

    def _is_free(self, number: int) -> bool:
        run = self._runs.get(number)
        return (
            number in self._ready
            and number not in self.is_done | self._here | self._reserved
            and (run is None or run.phase is RunPhase.WAITING)
        )

    def _turns(self) -> None:
        while not self._end.is_set():
            try:
                self.turn()
            except Exception as exc:  # whatever it is, the job goes on
                _log.warning("no runs of parts are ordered now: %s: %s", type(exc).__name__, exc)
            self._end.wait(_TURN_S)

    def _cancel(self, run: _Run) -> None:
        try:
            self.api.cancel(run.id, run.phase is RunPhase.WAITING)
        except Exception as exc:  # at worst it does what is there already
            _log.warning("the run %s was not cancelled: %s: %s", run.id, type(exc).__name__, exc)


class PrefectRuns:
    """`RunsApi` by Prefect's client, for the present flow run."""

    def __init__(self, deployment: str, request: LipSyncRequest, attempt: int) -> None:
        """The runs are of `deployment`; `request` is the job's as its parameters have it: sealed."""
        self._deployment = deployment
        self._request = request
        self._attempt = attempt
        self._pass = secrets.token_hex(4)  # a second pass of the attempt orders runs of its own
        self._orders = 0  # a part that is ordered again gets another run

    def order(self, order: PartOrder) -> UUID:
        """See `RunsApi`."""
        parameters = {
            "request": self._request.model_dump(mode="json"),
            "attempt": self._attempt,
            **order.parameters,
        }
        self._orders += 1
        start = partial(
            run_deployment,
            self._deployment,
            parameters=parameters,
            flow_run_name=f"{runtime.flow_run.name}: {order.stage} of {order.count}",
            work_queue_name=self._request.priority,
            idempotency_key=f"{runtime.flow_run.id}-{self._attempt}-{self._pass}-{self._orders}",
            timeout=0,
        )
        return cast(FlowRun, retried(start, is_away, SERVER_LIMIT_S, RETRY_S)).id

    def phases(self, run_ids: Sequence[UUID]) -> Mapping[UUID, RunPhase]:
        """See `RunsApi`."""
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids))))
        return {run.id: _phase(run) for run in runs}

    def cancel(self, run_id: UUID, is_waiting: bool) -> None:
        """See `RunsApi`."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelled() if is_waiting else Cancelling())


def _phase(run: FlowRun) -> RunPhase:
    if run.state is None or run.state.is_scheduled() or run.state.is_pending():
        return RunPhase.WAITING
    return RunPhase.ENDED if run.state.is_final() else RunPhase.AT_WORK
