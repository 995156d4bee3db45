"""Recovery of runs whose process or worker vanished: they start again, or end."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from lipsync_service.client.prefect_api import FlowRun, RunQuery
from lipsync_service.client.run_states import coded_message
from lipsync_service.names import JOB_FLOWS, PART_FLOWS
from lipsync_service.watch.outcomes import MAX_CRASHES, Crashes
from lipsync_service.watch.service_api import WatchedApi

_log = logging.getLogger(__name__)
#: A run that stays about to start, or about to stop, for this long has lost its worker.
_STALE = timedelta(seconds=120)
#: Three heartbeats.
SILENCE_LIMIT = timedelta(seconds=90)
_MOST_RUNS = 10_000
_UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED")


class Recovery:
    """Restarts, marks and cancels runs. Only one watcher may do so at a time; every call raises as PrefectApi does.

    It never overrules Prefect's own rules: a run that has gone on by itself is left alone.
    """

    def __init__(self, api: WatchedApi, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now

    def settle(self, crashed: FlowRun, crashes: Crashes) -> None:
        """Start another attempt of the job, which reuses its kept results, or fail it for good; cancel its children."""
        self.cancel_children(crashed.id)
        if self._api.run(crashed.id).state != crashed.state:
            return
        if crashes.was_cancelled:
            self._api.set_state(
                crashed.id, "CANCELLED", "Cancelled", "Its process vanished while it stopped", force=True
            )
            return
        verdict = crashes.verdict(crashed.id)
        if verdict is not None:
            self._api.set_state(crashed.id, "FAILED", "Failed", coded_message(verdict), force=True)
            _log.warning("job %s crashed: not started again: %s", crashed.id, verdict.code)
            return
        count = f"{crashes.at_work} of at most {MAX_CRASHES} crashes at work"
        is_taken = self._api.retry(crashed.id, f"Its process vanished; started again after {count}")
        _log.warning(
            "job %s crashed: %s", crashed.id, "started again" if is_taken else "Prefect does not start it again"
        )

    def cancel_children(self, job_id: UUID) -> None:
        """Cancel the unfinished runs of the parts of a job that has ended."""
        for child in self._api.runs(RunQuery(PART_FLOWS, _UNFINISHED, parent_ids=[job_id])):
            self._api.cancel(child.id, "Its job has ended")

    def free_stale(self) -> None:
        """Schedule runs again that no worker starts, and cancel those that no worker stops."""
        for run in self._stale("PENDING"):
            if self._api.set_state(run.id, "SCHEDULED", "Scheduled", "Its worker did not start it"):
                _log.warning("run %s was claimed and not started: scheduled again", run.id)
        for run in self._stale("CANCELLING"):
            self.cancel_children(run.id)
            if self._api.set_state(run.id, "CANCELLED", "Cancelled", "Its worker did not answer"):
                _log.warning("run %s did not answer: cancelled", run.id)

    def mark_silent(self) -> None:
        """Mark runs as crashed that have stopped sending heartbeats, or have never sent one.

        Runs of our workers send them, and their workers for those that are too busy
        (`lipsync_service.worker.vouching`); other runs are left alone.
        """
        latest = self._now() - SILENCE_LIMIT
        runs = self._api.runs(RunQuery(JOB_FLOWS, ("RUNNING",), limit=_MOST_RUNS))
        old = [run for run in runs if run.queue is not None and run.state.since < latest]
        heard = self._api.heard_since([run.id for run in old], latest) if old else set()
        for run in old:
            if run.id in heard or self._api.run(run.id).state != run.state:
                continue
            if self._api.set_state(run.id, "CRASHED", "Crashed", "It fell silent: its worker has vanished"):
                _log.warning("run %s fell silent: marked as crashed", run.id)

    def _stale(self, state_type: str) -> list[FlowRun]:
        latest = self._now() - _STALE
        return [run for run in self._api.runs(RunQuery(JOB_FLOWS, (state_type,))) if run.state.since < latest]
