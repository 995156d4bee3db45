"""The watcher's rounds: what has ended is told and entered in the ledger, what has crashed is started again.

Prefect's run states say what has ended, so nothing is lost while a worker, the server or the watcher is down. What the
watcher itself remembers only saves it from asking twice.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_service.callbacks.courier import Courier
from lipsync_service.callbacks.deliveries import Deliveries, Delivery
from lipsync_service.callbacks.sender import CallbackSender, JobEnd, Letter, callback_body
from lipsync_service.client.prefect_api import FlowRun, RunQuery
from lipsync_service.client.run_states import FINAL_TYPES
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow, JobState
from lipsync_service.names import JOB_FLOW
from lipsync_service.settings import Settings
from lipsync_service.watch.outcomes import callback_url, crash_count, is_end, job_ends, labels, output_shown
from lipsync_service.watch.recovery import SILENCE, Rescue
from lipsync_service.watch.service_api import WatchedApi

_log = logging.getLogger(__name__)
_ROUND_S = 1.0  # half of it, on average, goes by before an end is noticed
_SWEEP = timedelta(seconds=60)  # a look further back, for what came while something was down
_LOOK_BACK = timedelta(seconds=20)
_SWEEP_BACK = timedelta(hours=2)
_FIRST_BACK = timedelta(hours=24)  # a service that was down overnight goes on with its jobs
# A worker reports a process that died twice: at once, and when it has loaded the flow to look for hooks. The second
# report is refused as long as the run is crashed, and would take down the next attempt.
_SETTLING = timedelta(seconds=10)
_MOST_RUNS = 100_000
_LEASE = "rescue"
_LEASE_TIME = timedelta(seconds=20)
_ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
_DISPATCHES, _BETWEEN_DISPATCHES_S = 10, 0.1  # in one round, so that many callbacks at once do not wait for many rounds


@dataclass(frozen=True, slots=True)
class Places:
    """What the watcher works on."""

    api: WatchedApi
    deliveries: Deliveries
    ledger: Ledger


class Watcher:
    """One of the watchers of a service; any number may run."""

    def __init__(self, settings: Settings, places: Places) -> None:
        self._api, self._deliveries, self._ledger = places.api, places.deliveries, places.ledger
        self._rescue = Rescue(places.api, _now)
        self._courier = Courier(places.deliveries, CallbackSender(settings), self._letter, _now)
        self._id = uuid4()
        self._next_sweep = _now()
        self._swept_at = _now() - _FIRST_BACK
        self._done: set[tuple[UUID, datetime]] = set()  # runs and the states that they have been dealt with in
        self._troubles: dict[str, str] = {}
        self._well_since: datetime | None = None  # Prefect and the ledger have answered ever since
        self._stop = threading.Event()
        self.last_round_at: datetime | None = None

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.is_set():
            self.round()
            self._stop.wait(_ROUND_S)
        self._courier.close()

    def stop(self) -> None:
        """May be called by a signal's handler."""
        self._stop.set()

    def round(self) -> None:
        """Look once. A part that is down is named in the log once, and tried again in the next round."""
        now = _now()
        planned = self._next_sweep
        is_sweep = now >= planned
        with self._excused("round"):
            well_since, self._well_since = self._well_since, None  # unless this round comes to its end
            self._next_sweep = now
            for run in self._ended(now, is_sweep):
                self._deal_with(run)
            if is_sweep:
                self._sweep(now - (well_since or now))
                self._swept_at = now
            self._next_sweep = now + _SWEEP if is_sweep else planned
            self._well_since = well_since or now
        with self._excused("callbacks"):
            for _ in range(_DISPATCHES):
                if not self._courier.dispatch() or self._stop.wait(_BETWEEN_DISPATCHES_S):
                    break
        self.last_round_at = now

    def _ended(self, now: datetime, is_sweep: bool) -> Iterator[FlowRun]:
        """Runs of jobs that have ended and have not been dealt with since."""
        since = min(self._swept_at, now - _SWEEP_BACK) if is_sweep else now - _LOOK_BACK
        found = self._api.runs(RunQuery(JOB_FLOW, sorted(FINAL_TYPES), ended_after=since, limit=_MOST_RUNS))
        if is_sweep:
            found += self._api.runs(RunQuery(JOB_FLOW, ("CRASHED",), ended_after=now - _FIRST_BACK, limit=_MOST_RUNS))
            self._done = {(run_id, at) for run_id, at in self._done if at > now - _FIRST_BACK}
        yield from (run for run in found if (run.id, run.state.since) not in self._done)

    def _deal_with(self, run: FlowRun) -> None:
        """Tell, enter, or start again. One run that cannot be dealt with does not keep the others from it."""
        with self._excused(f"job {run.id}", TransientError):
            is_plain = run.attempt <= 1 and run.state.type != "CRASHED"
            history = [run.state] if is_plain else self._api.history(run.id)
            crashes = crash_count(history)
            if run.state.type == "CRASHED" and not is_end(run.state, crashes):
                if _now() < run.state.since + _SETTLING or not self._leads():
                    return
                self._rescue.run_again(run, crashes)
            else:
                ends = job_ends(run, history)
                self._tell(run, ends)
                for end in ends[-1:]:
                    self._enter(run, end)
                if run.state.type in ("CANCELLED", "CRASHED") and self._leads():
                    self._rescue.cancel_children(run.id)  # which its process may not have lived to do
            self._done.add((run.id, run.state.since))

    def _sweep(self, well_for: timedelta) -> None:
        """Earlier attempts of jobs that were started again, what is stuck, and ledger rows that wait on this host.

        Who is silent while the server is away may be well: nobody is marked before all has answered for long enough.
        """
        for run in self._api.runs(RunQuery(JOB_FLOW, ("SCHEDULED", "PENDING", "RUNNING"), limit=_MOST_RUNS)):
            if run.attempt > (run.state.type == "RUNNING"):
                with self._excused(f"job {run.id}", TransientError):
                    self._tell(run, job_ends(run, self._api.history(run.id)))
        if self._leads():
            self._rescue.free_stale()
            if well_for > SILENCE:
                self._rescue.mark_silent()
        self._ledger.replay()

    def _tell(self, run: FlowRun, ends: list[JobEnd]) -> None:
        if callback_url(run) is not None:
            self._deliveries.add([end for end in ends if end.ended_at > _now() - _FIRST_BACK], _now())

    def _enter(self, run: FlowRun, end: JobEnd) -> None:
        """Have the ledger agree; a job that could speak has said more itself, and its own words stay."""
        known = self._ledger.job(run.id)
        if known is not None and known.attempt >= end.attempt and known.state in _ENDED:
            return
        row = JobRow(
            run.id,
            end.attempt,
            end.state,
            error_code=end.error_code,
            created_at=run.created_at,
            finished_at=end.ended_at,
            output_url=output_shown(run),
            pool=run.pool,
        )
        self._ledger.record(row)
        _log.info("job %s ended without a word: %s %s", run.id, end.state, end.error_code or "")

    def _letter(self, delivery: Delivery) -> Letter | None:
        """What a delivery says, and where to: asked for at every try, so that the address is kept in one place only."""
        run = self._api.run(delivery.job_id)
        url = callback_url(run)
        ends = [end for end in job_ends(run, self._api.history(run.id)) if end.event_id == delivery.event_id]
        if url is None or not ends:
            return None
        return Letter(delivery.event_id, url, callback_body(ends[0], output_shown(run), labels(run)))

    def _leads(self) -> bool:
        now = _now()
        return self._deliveries.hold_lease(_LEASE, self._id, now, now + _LEASE_TIME)

    @contextmanager
    def _excused(self, part: str, *but: type[LipSyncError]) -> Iterator[None]:
        """Trouble with this part is logged, and again only when it changes; the rest goes on. `but` is passed on."""
        try:
            yield
        except but:
            raise
        except LipSyncError as error:
            if self._troubles.get(part) != error.code:
                _log.warning("%s: %s %s", part, error.code, error.message)
            self._troubles[part] = error.code
        except Exception:
            if self._troubles.get(part) != "INTERNAL":
                _log.exception("%s", part)
            self._troubles[part] = "INTERNAL"
        else:
            if self._troubles.pop(part, None):
                _log.info("%s: well again", part)


def _now() -> datetime:
    return datetime.now(UTC)
