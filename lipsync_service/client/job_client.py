"""The client of the service: it submits, lists, watches, cancels and retries jobs.

with open_client() as client:
    submission = client.submit(LipSyncRequest(video=..., audio=..., output=...))
    job = client.wait(submission.job_id)
if job.error:
    raise job.error
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from lipsync_core.errors import OptionError, TransientError
from lipsync_service.client.crashes import Crashes, may_run_again
from lipsync_service.client.job import Job, job_of, request_of
from lipsync_service.client.prefect_api import PrefectApi, RunOrder, RunQuery, TaskRun, open_api
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.retries import retried
from lipsync_service.client.rules import WorkerRules, rules_from
from lipsync_service.client.run_states import retry_command, state_types
from lipsync_service.client.sealing import Vault, discard_seal, has_secrets, sealed
from lipsync_service.client.text_types import is_storable, storable
from lipsync_service.client.waiting import HEARD_TYPES, Waiting
from lipsync_service.errors import IdempotencyConflictError, JobMissingError, JobStateError
from lipsync_service.names import (
    CPU_POOL,
    ENCODE_TASK,
    GPU_FLOW,
    JOB_DEPLOYMENT,
    JOB_FLOW,
    PART_FLOWS,
    PROGRESS_ARTIFACT,
    RESULT_ARTIFACT,
    JobStateName,
    rules_variable,
)
from lipsync_service.result_facts import ResultFacts
from lipsync_service.settings import Settings, load_settings
from lipsync_service.storage.address import AddressGuard, names_address
from lipsync_service.tenants import require_tenant

_IDS_AT_ONCE = 200
_OUTAGE_S = 60.0  # how long a caller waits for a service that does not answer
_OPENING_S = 0.5  # how long a caller waits for the stream of events before it asks for the first time
_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Submission:
    """The job of a request."""

    job_id: UUID
    is_new: bool  # false: an earlier submission had the same key and request


@dataclass(frozen=True, slots=True)
class JobQuery:
    """The jobs to list, newest first. None: all of them."""

    states: tuple[JobStateName, ...] | None = None
    due_after: datetime | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The progress of a running job."""

    stages: tuple[str, ...]  # that run now; a job may run two at once
    percent: float | None  # of its frames that are encoded, 0..100; None before the first


class JobClient:
    """All calls raise ServiceDownError where the service does not answer, and AccessDeniedError where it refuses the
    credentials. Calls about one job raise JobMissingError where the service has no such job.
    """

    def __init__(self, api: PrefectApi, settings: Settings | None = None) -> None:
        """`settings` name the storage that keeps the secrets of requests; without one a job's own run seals them."""
        self._api = api
        self._settings = settings
        self._rules: WorkerRules | None = None  # of the CPU pool, asked for once
        self._has_asked = False

    def submit(self, request: LipSyncRequest, key: str | None = None, name: str | None = None) -> Submission:
        """Order a job. The same key and request is the same job, also where that has ended.

        Args:
            request: of the job; the service's workers open its addresses.
            key: replaces the request's own idempotency key.
            name: of the job in lists, in place of the output's name.

        Raises:
            IdempotencyConflictError: the key belongs to a job with another request.
            UrlRefusedError: as `require_taken`.
            OptionError: the key holds a character that cannot be stored.
            StorageError, TransientError: the storage does not take the request's secrets.
        """
        self._check_callback(request)
        if key is not None and not is_storable(key):
            raise OptionError("the key holds a NUL or half a character", "choose another key")
        vault = Vault(self._settings, request.tenant) if self._settings and has_secrets(request) else None
        told = sealed(request, vault) if vault else request
        order = RunOrder(
            name=storable(name or PurePosixPath(urlsplit(request.output).path).stem)[:_NAME_CHARS] or "job",
            parameters={"request": told.model_dump(mode="json")},
            queue=request.priority,
            key=request.key_of_tenant(key or request.idempotency_key),
        )
        run, is_new = self._api.create_run(JOB_DEPLOYMENT, order)
        if vault and not is_new:
            discard_seal(told, vault)  # the job that was there before has its own
        earlier = None if is_new else request_of(run)
        if not is_new and (earlier is None or earlier.digest != request.digest):
            message = f"the key {order.key} belongs to job {run.id}, which asks for something else"
            raise IdempotencyConflictError(message, "choose another key, or ask for the same")
        return Submission(run.id, is_new)

    def require_service(self) -> None:
        """See that the service answers and takes jobs, before files are sent to its storage. `submit` asks no more."""
        self._api.deployment(JOB_DEPLOYMENT)

    def require_taken(self, request: LipSyncRequest) -> None:
        """Refuse a request that the service is known not to take, before its files are sent.

        Raises:
            OptionError: the service does not know its tenant.
            UrlRefusedError: its callback's host is an address that the service does not call.
        """
        rules = self._known_rules()
        if rules is not None and rules.tenants is not None:
            require_tenant(request.tenant, rules.tenants)
        self._check_callback(request)

    def _check_callback(self, request: LipSyncRequest) -> None:
        url = request.callback_url
        if url is None or not names_address(url):
            return
        rules = self._known_rules()
        if rules is not None:
            AddressGuard(rules.http_allowed_addresses, ports=rules.http_ports).check_literal(url)

    def _known_rules(self) -> WorkerRules | None:
        if not self._has_asked:
            self._rules, self._has_asked = self.rules(CPU_POOL), True
        return self._rules

    def rules(self, pool: str) -> WorkerRules | None:
        """The limits and the tenants of the pool's workers, as the last one that started has told them."""
        return rules_from(self._api.variable(rules_variable(pool)))

    def job(self, job_id: UUID) -> Job:
        """The job as it is now."""
        return job_of(self._api.run(job_id))

    def jobs(self, query: JobQuery) -> list[Job]:
        """The jobs that `query` describes, newest first."""
        types = None if query.states is None else state_types(query.states)
        wanted = RunQuery(JOB_FLOW, state_types=types, due_after=query.due_after, limit=query.limit)
        return [job_of(run) for run in self._api.runs(wanted)]

    def output_address(self, job_id: UUID) -> str:
        """The address from which the job's result can be read.

        Raises:
            JobStateError: the result goes to the web, or this version cannot read the job's request.
        """
        request = request_of(self._api.run(job_id))
        if request is None:
            raise JobStateError(f"job {job_id} holds no request of this version", "see it in the UI")
        if request.output.startswith(("http://", "https://")):
            message = f"the result of job {job_id} goes to the web, to an address that may be good for writing only"
            raise JobStateError(message, "fetch it from there yourself")
        return request.output

    def tasks(self, job_id: UUID) -> list[TaskRun]:
        """The task runs of all attempts, those of the job's parts included, in the order in which they started."""
        return self._api.task_runs(job_id, *self._children(job_id, PART_FLOWS))

    def progress(self, job_id: UUID) -> JobProgress:
        """The job's progress at this moment; its task `encode` speaks for all of its segments."""
        tasks = self._api.task_runs(job_id, *self._children(job_id, GPU_FLOW))
        stages = tuple(dict.fromkeys(task.name for task in tasks if task.state == "Running"))
        shown = self._api.artifacts(job_id, PROGRESS_ARTIFACT) if ENCODE_TASK in stages else {}
        percent = shown.get(PROGRESS_ARTIFACT)
        return JobProgress(stages, None if percent is None else float(percent))

    def facts(self, job_id: UUID) -> ResultFacts:
        """What is known of the job's result; nothing before the job has told it."""
        return ResultFacts.of_rows(self._api.artifacts(job_id, RESULT_ARTIFACT).get(RESULT_ARTIFACT, ()))

    def artifacts(self, job_id: UUID, key: str) -> list[Any]:
        """The artifacts of the job with this key: its own, then those of its parts on the GPU pool."""
        shown = [self._api.artifacts(each, key) for each in (job_id, *self._children(job_id, GPU_FLOW))]
        return [each[key] for each in shown if key in each]

    def cancel(self, job_id: UUID) -> Job:
        """Stop the job and return it; a running one takes some seconds to stop.

        Raises:
            JobStateError: it has ended.
        """
        job = self.job(job_id)
        if job.is_final:
            raise JobStateError(f"job {job_id} has ended already: it is {job.state}", "there is nothing to cancel")
        self._api.cancel(job_id)
        return self.job(job_id)

    def retry(self, job_id: UUID) -> Job:
        """Run a job that failed, crashed or was cancelled again: the same job, another attempt.

        Raises:
            JobStateError: it is in another state.
        """
        job = self.job(job_id)
        if job.same_as is not None:
            message = f"job {job_id} did nothing: it is the same as job {job.same_as}"
            raise JobStateError(message, f"run that one again: {retry_command(job.same_as)}")
        if job.error is None:
            remedy = "submit it anew to do it again" if job.is_final else f"wait for it: lipsync jobs wait {job_id}"
            raise JobStateError(f"job {job_id} has not failed: it is {job.state}", remedy)
        self._api.retry(job_id, force=True)
        return self.job(job_id)

    def wait(self, job_id: UUID, watch: Callable[[Job], None] | None = None, poll_s: float = 0.5) -> Job:
        """The job when it has ended; of a duplicate, the job that it names while that is kept.

        `watch` receives the job until then: at each change, and every few seconds while it runs.
        """
        for [job] in self.watch([job_id], poll_s, is_shown=watch is not None):
            if watch is not None and not job.is_final:
                watch(job)
        if job.same_as is None:
            return job
        try:
            return self.wait(job.same_as, watch, poll_s)
        except JobMissingError:  # its run is no longer kept; the duplicate has its state, and asks for the same
            return job

    def watch(self, job_ids: Collection[UUID], poll_s: float, is_shown: bool = False) -> Iterator[tuple[Job, ...]]:
        """Yield the jobs in a moment and whenever one has changed, each until it was yielded as ended.

        The service tells of changes. Where its stream of events is closed, it is asked, first after `poll_s` and later
        at each tenth of the time waited, with one call for all jobs. With `is_shown` it is also asked every few seconds
        while a job runs. A crashed job has ended when it stays crashed, since the service's watcher restarts it after
        its first crashes. The calls are repeated for a minute where the service does not answer.
        """
        pending = set(job_ids)
        crashes: Crashes = {}
        with closing(self._api.events(JOB_FLOW, frozenset(pending), HEARD_TYPES)) as events:
            waiting = Waiting(events, poll_s, is_shown)
            events.wait(_OPENING_S)  # asking before the stream is open would mean asking again when it is
            while pending:
                ask = partial(self._read, pending)
                jobs = retried(ask, lambda exc: isinstance(exc, TransientError), _OUTAGE_S, poll_s)
                yield tuple(jobs)
                now_s = time.monotonic()
                pending -= {job.id for job in jobs if not may_run_again(job, crashes, now_s) and job.is_final}
                if pending:
                    waiting.pause(jobs)

    def _read(self, job_ids: Collection[UUID]) -> list[Job]:
        ids = sorted(job_ids)
        parts = [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
        runs = [run for part in parts for run in self._api.runs(RunQuery(JOB_FLOW, ids=part, limit=len(part)))]
        gone = set(ids) - {run.id for run in runs}
        if gone:
            raise JobMissingError(f"the service knows no job {min(gone)}", "see: lipsync jobs list")
        return [job_of(run) for run in runs]

    def _children(self, job_id: UUID, flows: str | Sequence[str]) -> list[UUID]:
        return [run.id for run in self._api.runs(RunQuery(flows, parent_ids=[job_id]))]


@contextmanager
def open_client(settings: Settings | None = None) -> Iterator[JobClient]:
    """A client of the service that `settings` name, by default those of the environment (LIPSYNC_API_URL ...)."""
    chosen = settings or load_settings()
    with open_api(chosen) as api:
        yield JobClient(api, chosen if "storage_url" in chosen.model_fields_set else None)
