"""Waits for all jobs of a manifest, with one request to the service at a time, and downloads their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from lipsync_cli.progress.steps import ShowStep, Step, shown_steps, transfer_step
from lipsync_cli.service import Service
from lipsync_cli.signals import remaining
from lipsync_core.errors import InputError, LipSyncError

if TYPE_CHECKING:
    from lipsync_service.client.batch import SubmittedRow
    from lipsync_service.client.job import Job

#: submitted: the row's job has not ended, and the command does not wait for it.
Outcome = Literal["completed", "already done", "deduplicated", "submitted", "failed", "invalid"]
_POLL_S = 2.0
_MAX_JOBS_PER_S = 200  # the number of jobs to ask about: one page of the server's answers a second


@dataclass(frozen=True, slots=True)
class RowReport:
    """The outcome of one row."""

    number: int
    outcome: Outcome
    job: "Job | None"
    error: LipSyncError | None  # the reason why the row has no output
    output: Path | None  # the downloaded result on this machine
    same_as: int | None  # the row whose job this one shares


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The outcomes of all rows of a manifest."""

    rows: tuple[RowReport, ...]

    @property
    def lacking(self) -> int:
        """The number of rows that have no output and will not get one without the user."""
        return sum(row.error is not None for row in self.rows)


@dataclass(slots=True)
class _Watch:
    service: Service
    rows: "Sequence[SubmittedRow]"
    ended_before: set[UUID] = field(default_factory=set)
    download_errors: dict[int, LipSyncError] = field(default_factory=dict)  # by row number

    def jobs(self, is_waiting: bool, show: ShowStep) -> "dict[UUID, Job]":
        """The final states of the rows' jobs; each result is downloaded as soon as its job has ended."""
        known = {row.job_id for row in self.rows if row.fate == "known"}
        ids = {row.job_id for row in self.rows if row.job_id is not None}
        jobs: dict[UUID, Job] = {}
        for turn, present in enumerate(self.service.client.watch(ids, max(_POLL_S, len(ids) / _MAX_JOBS_PER_S))):
            jobs |= {job.id: job for job in present}
            ended = [job for job in present if job.is_final]
            if turn == 0:
                self.ended_before = {job.id for job in ended} & known
            if not is_waiting:
                break
            for job in ended:
                if job.same_as is not None:  # another caller has submitted the same job under the same key
                    jobs[job.id] = self.service.client.wait(job.id)
                self._download(job.id, jobs[job.id], show)
            done = sum(job.is_final for job in jobs.values())
            show(Step(f"{done} of {len(ids)} jobs", 100 * done / len(ids)))
        return jobs

    def report(self, row: "SubmittedRow", jobs: "Mapping[UUID, Job]") -> RowReport:
        job = jobs.get(row.job_id) if row.job_id else None
        error = row.error or (job.error if job else None) or self.download_errors.get(row.row.number)
        if row.row.faults:
            error = InputError("; ".join(row.row.faults))
        elif job is None and error is None:  # the identical row was refused
            error = InputError(f"the identical row {row.row.same_as} was refused")
        path = row.row.local.output
        return RowReport(
            number=row.row.number,
            outcome=self._outcome(row, job, error),
            job=job,
            error=error,
            output=path if path and error is None and path.is_file() else None,
            same_as=row.row.same_as,
        )

    def _outcome(self, row: "SubmittedRow", job: "Job | None", error: LipSyncError | None) -> Outcome:
        if row.row.same_as is not None:
            return "deduplicated"
        if row.row.faults:
            return "invalid"
        if error is not None:
            return "failed"
        if job is None or not job.is_final:
            return "submitted"
        return "already done" if job.id in self.ended_before else "completed"

    def _download(self, job_id: UUID, job: "Job", show: ShowStep) -> None:
        for row in self.rows:
            path = row.row.local.output
            if row.job_id != job_id or job.error is not None or path is None:
                continue
            try:
                address = self.service.client.output_address(job_id)
                self.service.files.download(address, path, lambda path, each: show(transfer_step(path, each)))
            except LipSyncError as error:
                self.download_errors[row.row.number] = error


def watched_batch(service: Service, rows: "Sequence[SubmittedRow]", is_waiting: bool, is_quiet: bool) -> BatchReport:
    """The outcomes of the rows, after all their jobs have ended; their present states if not `is_waiting`.

    Raises:
        TransientError: the service has not answered for a while.
    """
    watch = _Watch(service, rows)
    with remaining("the jobs go on; run the command again to wait for them"), shown_steps(is_quiet) as show:
        jobs = watch.jobs(is_waiting, show)
    return BatchReport(tuple(watch.report(row, jobs) for row in rows))
