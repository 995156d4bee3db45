"""The watcher's rounds: they report ended jobs to callers and the ledger, and restart crashed ones.

Prefect's run states tell which jobs have ended, so nothing is lost while a worker, the server or the watcher is down.
The watcher's own memory only saves it from asking twice.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_service.callbacks.courier import Courier
from lipsync_service.callbacks.deliveries import Deliveries, Delivery
from lipsync_service.callbacks.sender import CallbackSender, JobOutcome, Letter, callback_body
from lipsync_service.client.prefect_api import FlowRun, RunQuery
from lipsync_service.client.run_states import FINAL_TYPES, is_final
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow
from lipsync_service.names import JOB_FLOW
from lipsync_service.settings import Settings
from lipsync_service.watch.looks import Looks
from lipsync_service.watch.outcomes import callback_url, crashes_of, facts_of, job_outcomes, labels, output_shown
from lipsync_service.watch.recovery import SILENCE_LIMIT, Recovery
from lipsync_service.watch.run_secrets import opened_callback_url, seal_parameters
from lipsync_service.watch.service_api import WatchedApi

_log = logging.getLogger(__name__)
_ROUND_S = 1.0  # between two rounds
_SWEEP = timedelta(seconds=60)  # between two looks further back, for runs that ended while a part was down
_LISTEN = timedelta(seconds=20)  # between two looks for silent runs
_LOOK_BACK = timedelta(seconds=60)
_SWEEP_BACK = timedelta(hours=2)
_FIRST_BACK = timedelta(hours=24)  # a service that was down overnight goes on with its jobs
# A worker reports a dead process twice: at once, and after it has loaded the flow to look for hooks. Prefect refuses
# the second report while the run is crashed; a report after this would end the next attempt.
_SETTLING = timedelta(seconds=10)
_MOST_RUNS = 100_000
_LEASE = "recovery"
_LEASE_TIME = timedelta(seconds=20)
_DISPATCHES, _BETWEEN_DISPATCHES_S = 10, 0.1  # in one round, so that many callbacks at once need few rounds


@dataclass(frozen=True, slots=True)
class WatchedService:
    """The parts of a service that the watcher uses."""

    api: WatchedApi
    deliveries: Deliveries
    ledger: Ledger


class Watcher:
    """One of the watchers of a service; any number may run."""

    def __init__(self, settings: Settings, service: WatchedService) -> None:
        self._settings = settings
        self._api, self._deliveries, self._ledger = service.api, service.deliveries, service.ledger
        self._recovery = Recovery(service.api, _now)
        self._courier = Courier(service.deliveries, CallbackSender(settings), self._letter, _now)
        self._id = uuid4()
        self._next_sweep = self._next_silence = _now()
        self._swept_at = _now() - _FIRST_BACK
        self._done: set[tuple[UUID, datetime]] = set()  # runs that were handled, with the time of their state
        self._failures: dict[str, str] = {}
        self._is_settled = True  # no crashed run waits to be started again
        self._well_since: datetime | None = None  # since then Prefect and the ledger have answered
        self._stop = threading.Event()
        self.last_round_at: datetime | None = None

    def run(self) -> None:
        """Do rounds until `stop`, of which those look at Prefect's runs that may find an ended one."""
        with closing(Looks(self._api.events(JOB_FLOW, None, FINAL_TYPES))) as looks:
            while not self._stop.is_set():
                now = _now()
                if looks.are_due(now) or now >= self._next_sweep:
                    self.round()
                    looks.looked(now, is_settled=self._is_settled and self._well_since is not None)
                else:
                    self._send_callbacks()
                looks.wait(_ROUND_S, now)
        self._courier.close()

    def stop(self) -> None:
        """End `run`; a signal handler may call it."""
        self._stop.set()

    def round(self) -> None:
        """Look once. The log names a part that is down once, and the next round tries it again."""
        now = _now()
        planned = self._next_sweep
        is_sweep = now >= planned
        with self._logged("round"):
            well_since, self._well_since = self._well_since, None  # unless this round comes to its end
            self._next_sweep = now
            self._is_settled = True
            for run in self._ended(now, is_sweep):
                self._handle(run)
            if is_sweep:
                self._sweep()
                self._swept_at = now
            if now >= self._next_silence:
                self._mark_silent(now - (well_since or now))
                self._next_silence = now + _LISTEN
            self._next_sweep = now + _SWEEP if is_sweep else planned
            self._well_since = well_since or now
        self._send_callbacks()

    def _send_callbacks(self) -> None:
        with self._logged("callbacks"):
            for _ in range(_DISPATCHES):
                if not self._courier.dispatch() or self._stop.wait(_BETWEEN_DISPATCHES_S):
                    break
        self.last_round_at = _now()

    def _ended(self, now: datetime, is_sweep: bool) -> Iterator[FlowRun]:
        """Runs of jobs that have ended and were not handled since."""
        since = min(self._swept_at, now - _SWEEP_BACK) if is_sweep else now - _LOOK_BACK
        found = self._api.runs(RunQuery(JOB_FLOW, sorted(FINAL_TYPES), ended_after=since, limit=_MOST_RUNS))
        if is_sweep:
            found += self._api.runs(RunQuery(JOB_FLOW, ("CRASHED",), ended_after=now - _FIRST_BACK, limit=_MOST_RUNS))
            self._done = {(run_id, at) for run_id, at in self._done if at > now - _FIRST_BACK}
        yield from (run for run in found if (run.id, run.state.since) not in self._done)

    def _handle(self, run: FlowRun) -> None:
        """Report the run, or restart it. A failure with one run does not stop the others."""
        with self._logged(f"job {run.id}", TransientError):
            is_plain = run.attempt <= 1 and run.state.type != "CRASHED"
            history = [run.state] if is_plain else self._api.history(run.id)
            if run.state.type == "CRASHED":
                if _now() < run.state.since + _SETTLING or not self._leads():
                    self._is_settled = False
                    return
                self._recovery.settle(run, crashes_of(history))
            else:
                outcomes = job_outcomes(run, history)
                self._add_callbacks(run, outcomes)
                for outcome in outcomes[-1:]:
                    self._record(run, outcome)
                seal_parameters(run, self._api, self._settings)
                if run.state.type == "CANCELLED" and self._leads():
                    self._recovery.cancel_children(run.id)  # its own process may have died before it could
            self._done.add((run.id, run.state.since))

    def _mark_silent(self, well_for: timedelta) -> None:
        """Mark silent runs, where the server has answered for long enough: while it is down, a well run is silent."""
        if well_for > SILENCE_LIMIT and self._leads():
            self._recovery.mark_silent()

    def _sweep(self) -> None:
        """Report earlier attempts of restarted jobs, free stuck runs, and write ledger rows that wait on this host."""
        for run in self._api.runs(RunQuery(JOB_FLOW, ("SCHEDULED", "PENDING", "RUNNING"), limit=_MOST_RUNS)):
            if run.attempt > (run.state.type == "RUNNING"):
                with self._logged(f"job {run.id}", TransientError):
                    self._add_callbacks(run, job_outcomes(run, self._api.history(run.id)))
        if self._leads():
            self._recovery.free_stale()
            self._deliveries.prune(_now())
        self._ledger.replay()

    def _add_callbacks(self, run: FlowRun, outcomes: list[JobOutcome]) -> None:
        if callback_url(run) is not None:
            recent = [outcome for outcome in outcomes if outcome.ended_at > _now() - _FIRST_BACK]
            self._deliveries.add(recent, _now())

    def _record(self, run: FlowRun, outcome: JobOutcome) -> None:
        """Record the outcome in the ledger, unless the job has recorded it itself, with more facts."""
        known = self._ledger.job(run.id)
        if known is not None and known.attempt >= outcome.attempt and is_final(known.state):
            return
        row = JobRow(
            run.id,
            outcome.attempt,
            outcome.state,
            error_code=outcome.error_code,
            created_at=run.created_at,
            finished_at=outcome.ended_at,
            output_url=output_shown(run),
            pool=run.pool,
        )
        self._ledger.record(row)
        _log.info("job %s ended without recording it: %s %s", run.id, outcome.state, outcome.error_code or "")

    def _letter(self, delivery: Delivery) -> Letter | None:
        """The letter of a delivery. Each try reads the address from the run again, so that nothing else keeps it."""
        run = self._api.run(delivery.job_id)
        url = opened_callback_url(run, self._settings)
        outcomes = [each for each in job_outcomes(run, self._api.history(run.id)) if each.event_id == delivery.event_id]
        if url is None or not outcomes:
            return None
        facts = facts_of(self._ledger.job(run.id), outcomes[0])
        return Letter(delivery.event_id, url, callback_body(outcomes[0], output_shown(run), labels(run), facts))

    def _leads(self) -> bool:
        now = _now()
        return self._deliveries.hold_lease(_LEASE, self._id, now, now + _LEASE_TIME)

    @contextmanager
    def _logged(self, part: str, *but: type[LipSyncError]) -> Iterator[None]:
        """Log a failure of this part, once until it changes, and go on; only errors of `but` are raised."""
        try:
            yield
        except but:
            raise
        except LipSyncError as error:
            if self._failures.get(part) != error.code:
                _log.warning("%s: %s %s", part, error.code, error.message)
            self._failures[part] = error.code
        except Exception:
            if self._failures.get(part) != LipSyncError.code:
                _log.exception("%s", part)
            self._failures[part] = LipSyncError.code
        else:
            if self._failures.pop(part, None):
                _log.info("%s: well again", part)


def _now() -> datetime:
    return datetime.now(UTC)
