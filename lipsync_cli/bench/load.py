"""Sends requests to a service as several callers would, each of whom waits for the end of one before the next."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread
from uuid import UUID

from lipsync_core.errors import LipSyncError
from lipsync_service.client.job import Job
from lipsync_service.client.job_client import JobClient, open_client
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import JobTimedOutError
from lipsync_service.settings import Settings

_LIMIT_S = 3600.0  # for all requests of one load


@dataclass(frozen=True, slots=True)
class Sent:
    """The requests of one load after their end."""

    request_s: tuple[float, ...]  # of each completed one, from its submission until its caller knew of its end
    errors: tuple[LipSyncError, ...]  # of the others
    wall_s: float  # from the first submission to the last end
    job_ids: tuple[UUID, ...]  # of those that the service accepted


@dataclass(slots=True)
class _Account:
    """What the callers write down together."""

    waiting: deque[LipSyncRequest]
    lock: Lock = field(default_factory=Lock)
    request_s: list[float] = field(default_factory=list)
    errors: list[LipSyncError] = field(default_factory=list)
    job_ids: list[UUID] = field(default_factory=list)
    running: set[UUID] = field(default_factory=set)
    fault: Exception | None = None  # a caller's own, which ends the measurement


class Callers:
    """Callers of one service.

    With `is_watched` they ask for the states of their jobs, so that `running` counts; that costs the service something.
    """

    def __init__(self, settings: Settings, is_watched: bool = False) -> None:
        self._settings = settings
        self._is_watched = is_watched
        self._account = _Account(deque())

    def running(self) -> int:
        """The requests that run now, as their callers see them."""
        return len(self._account.running)

    def send(self, requests: Sequence[LipSyncRequest], at_once: int) -> Sent:
        """Send all requests, `at_once` of them at any time, and wait for their ends; failed jobs are no exception.

        Raises:
            JobTimedOutError: they have not ended after an hour.
        """
        self._account = account = _Account(deque(requests))
        callers = [Thread(target=self._call, args=(account,), daemon=True) for _ in range(min(at_once, len(requests)))]
        began_s = time.monotonic()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(max(0.0, began_s + _LIMIT_S - time.monotonic()))
        if any(caller.is_alive() for caller in callers) and account.fault is None:
            raise JobTimedOutError(f"{len(requests)} requests did not end in {_LIMIT_S:g} s")
        if account.fault is not None:
            raise account.fault
        wall_s = time.monotonic() - began_s
        return Sent(tuple(account.request_s), tuple(account.errors), wall_s, tuple(account.job_ids))

    def _call(self, account: _Account) -> None:
        try:
            with open_client(self._settings) as client:
                while account.fault is None:
                    with account.lock:
                        if not account.waiting:
                            return
                        request = account.waiting.popleft()
                    self._send_one(client, request, account)
        except Exception as fault:  # it is raised again in the thread that waits
            account.fault = fault

    def _send_one(self, client: JobClient, request: LipSyncRequest, account: _Account) -> None:
        began_s, error = time.monotonic(), None

        def note(job: Job) -> None:
            with account.lock:
                (account.running.add if job.state == "running" else account.running.discard)(job.id)

        try:
            job_id = client.submit(request, name="bench").job_id
            account.job_ids.append(job_id)
            job = client.wait(job_id, note) if self._is_watched else client.wait(job_id)
            account.running.discard(job_id)
            error = job.error
        except LipSyncError as failure:
            error = failure
        if error is None:
            account.request_s.append(time.monotonic() - began_s)
        else:
            account.errors.append(error)
