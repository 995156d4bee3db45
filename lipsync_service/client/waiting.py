"""When a caller who waits for jobs asks the service again: at news, and seldom without."""

import time
from collections.abc import Sequence

from lipsync_service.client.job import Job
from lipsync_service.client.run_events import RunEvents
from lipsync_service.client.run_states import FINAL_TYPES

#: The states of which a waiting caller wants to hear.
HEARD_TYPES = frozenset({"RUNNING", *FINAL_TYPES})
_QUIET_S = 20.0  # while the stream is open: the longest wait for an event that was lost
_SHARE, _LONGEST_S = 0.1, 10.0  # otherwise: of the time waited, and the most
_SHOWN_S = 3.0  # for those who show a job's progress, s at least
_ECHO_S, _ECHO_LIMIT_S = 0.15, 3.0  # after an event whose state the server does not answer with yet


class Waiting:
    """The pauses of one caller."""

    def __init__(self, events: RunEvents, poll_s: float, is_shown: bool) -> None:
        """`poll_s` is the shortest pause where no stream is open; `is_shown` where the caller shows progress."""
        self._events, self._poll_s, self._is_shown = events, poll_s, is_shown
        self._began_s = time.monotonic()

    def pause(self, jobs: Sequence[Job]) -> None:
        """Wait until it is worth asking about `jobs`, the newest answers, again."""
        self._events.wait(self._limit_s(jobs))

    def _limit_s(self, jobs: Sequence[Job]) -> float:
        if any(self._is_behind(job) for job in jobs):
            return _ECHO_S
        grown_s = min(_LONGEST_S, _SHARE * (time.monotonic() - self._began_s))
        if not self._events.is_open or any(job.is_crashed for job in jobs):
            return max(self._poll_s, grown_s)
        if self._is_shown and any(job.state == "running" for job in jobs):
            return max(self._poll_s, _SHOWN_S, grown_s)
        return max(self._poll_s, _QUIET_S)

    def _is_behind(self, job: Job) -> bool:
        heard = self._events.newest(job.id)
        if heard is None or time.monotonic() > heard.at_s + _ECHO_LIMIT_S:
            return False
        return not job.is_final if heard.state_type in FINAL_TYPES else job.state in ("scheduled", "accepted")
