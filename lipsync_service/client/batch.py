"""Jobs from the rows of one manifest: rows that ask for the same job are found, and each job is submitted once."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_service.client.job_client import JobClient
from lipsync_service.client.local_files import LocalFiles
from lipsync_service.client.manifest import ManifestRow
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import BULK

#: new: a job was made. retried: a job of an earlier time runs again. known: an earlier time has submitted this job.
#: deduplicated: an earlier row is the same job. refused: the row is no job; `error` is the reason.
Fate = Literal["new", "retried", "known", "deduplicated", "refused"]
#: Gives a request addresses that workers can open in place of local files.
AddressFiles = Callable[[LipSyncRequest, LocalFiles], LipSyncRequest]
Upload = Callable[["PlannedRow"], None]


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row that is ready to be submitted, or the faults in it."""

    number: int  # of its line in the manifest, from 1
    request: LipSyncRequest | None  # with addresses that workers can open; None: the row holds no request
    key: str = ""
    same_as: int | None = None  # the number of an earlier row that is the same job
    faults: tuple[str, ...] = ()  # as `ManifestRow.faults`
    local: LocalFiles = field(default_factory=LocalFiles)


@dataclass(frozen=True, slots=True)
class SubmittedRow:
    """A row after its submission."""

    row: PlannedRow
    fate: Fate
    job_id: UUID | None = None
    error: LipSyncError | None = None  # the reason for which it was refused


def plan_rows(
    rows: Sequence[ManifestRow], address_files: AddressFiles = lambda request, local: request
) -> tuple[PlannedRow, ...]:
    """Prepare the rows for submission: their jobs wait in the queue `bulk`, unless a row names its priority.

    Raises: the errors of `address_files`.
    """
    planned: list[PlannedRow] = []
    by_key: dict[str, PlannedRow] = {}
    by_output: dict[str, int] = {}
    for row in rows:
        each = _planned(row, address_files)
        if each.request is not None:
            each = _compared(each, by_key.get(each.key), by_output)
        if each.request is not None and each.same_as is None:
            by_key[each.key] = each
        if each.request is not None:
            by_output.setdefault(_output(each), each.number)
        planned.append(each)
    return tuple(planned)


def submit_rows(
    client: JobClient, rows: Sequence[PlannedRow], upload: Upload, retry_failed: bool
) -> Iterator[SubmittedRow]:
    """Submit each row under its key, so that a row that was submitted before is the same job again.

    Args:
        client: the service.
        rows: as `plan_rows` made them.
        upload: sends a row's local files.
        retry_failed: retry known jobs that failed, crashed or were cancelled.

    Raises:
        TransientError: the service does not answer; the rows before this one stay submitted.
    """
    jobs: dict[int, UUID | None] = {}
    for row in rows:
        if row.same_as is not None:
            yield SubmittedRow(row, "deduplicated", jobs.get(row.same_as))
            continue
        submitted = _submitted(client, row, upload, retry_failed)
        jobs[row.number] = submitted.job_id
        yield submitted


def _planned(row: ManifestRow, address_files: AddressFiles) -> PlannedRow:
    if row.request is None:
        return PlannedRow(row.number, None, faults=row.faults, local=row.local)
    request = address_files(row.request, row.local)
    if "priority" not in request.model_fields_set:
        request = request.model_copy(update={"priority": BULK})
    return PlannedRow(row.number, request, request.idempotency_key or request.digest, local=row.local)


def _compared(row: PlannedRow, earlier: PlannedRow | None, outputs: dict[str, int]) -> PlannedRow:
    """The row, marked where it is the same job as an earlier row, or refused where it contradicts one."""
    if row.request is None or (earlier is None and _output(row) not in outputs):
        return row
    if earlier is None or earlier.request is None:
        fault = f"output: row {outputs[_output(row)]} writes to the same place"
    elif earlier.request.digest == row.request.digest:
        return replace(row, same_as=earlier.number)
    else:
        fault = f"idempotency_key: row {earlier.number} has the same and asks for something else"
    return replace(row, request=None, faults=(fault,))


def _output(row: PlannedRow) -> str:
    if row.local.output is not None:
        return os.path.realpath(row.local.output)
    return row.request.output if row.request else ""


def _submitted(client: JobClient, row: PlannedRow, upload: Upload, retry_failed: bool) -> SubmittedRow:
    if row.request is None:
        return SubmittedRow(row, "refused")
    try:
        upload(row)
        submission = client.submit(row.request, row.key, row.local.output.stem if row.local.output else None)
        if submission.is_new:
            return SubmittedRow(row, "new", submission.job_id)
        if retry_failed and client.job(submission.job_id).error:
            client.retry(submission.job_id)
            return SubmittedRow(row, "retried", submission.job_id)
    except TransientError:
        raise
    except LipSyncError as error:
        return SubmittedRow(row, "refused", error=error)
    return SubmittedRow(row, "known", submission.job_id)
