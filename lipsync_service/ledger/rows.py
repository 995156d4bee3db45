"""The ledger's rows as values, and as lines of the spool."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from lipsync_core.clock import StageTiming
from lipsync_core.errors import LipSyncError
from lipsync_core.report import FrameCounts, Outcome, Provenance
from lipsync_core.score_figures import JudgedBy, Scoring
from lipsync_core.serving_counts import ServingCounts
from lipsync_service.result_facts import ResultFacts, ScoreVerdict, joined, score_account


class JobState(StrEnum):
    """The state of a job."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def state_after(failure: BaseException) -> tuple[JobState, str | None]:
    """The state in which `failure` leaves a job, and its code; any but an `Exception` stopped the job from outside."""
    if isinstance(failure, LipSyncError):
        return JobState.FAILED, failure.code
    if isinstance(failure, Exception):
        return JobState.FAILED, LipSyncError.code
    return JobState.CANCELLED, None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An idempotency key claimed by a job; the first claim stays."""

    key: str  # at most 255 characters
    job_id: UUID
    request_digest: str  # sha256, hexadecimal
    claimed_at: datetime
    table: Literal["idempotency_keys"] = "idempotency_keys"


@dataclass(frozen=True, slots=True)
class JobRow:
    """The facts about a job that are known at one moment; None where a fact is unknown or has not changed.

    Rows of one job may arrive in any order: state, error and end are those of the highest attempt and its last state.
    """

    job_id: UUID
    attempt: int  # from 1
    state: JobState
    error_code: str | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None
    video_url: str | None = None  # addresses without credentials and queries, here and below
    audio_url: str | None = None
    output_url: str | None = None
    model: str | None = None  # name and version
    model_licence: str | None = None
    model_sha256: str | None = None
    tracker: str | None = None
    blender: str | None = None
    enhancer: str | None = None
    encoder: str | None = None
    changes: str | None = None  # of every picture before it was encoded: `joined`; "" where there was none
    dropped: str | None = None  # what the video's file holds and the result does not: `joined`
    provenance: str | None = None  # who has signed the result, or why nobody has
    warnings: str | None = None  # codes of the preflight: `joined`; "" where it has none
    score: str | None = None  # the sync score of the result in one line, or why it has none
    sync_score: float | None = None  # this field and those below: as in `ResultFacts`
    score_judged_by: JudgedBy | None = None
    score_offset_ms: int | None = None
    score_verdict: ScoreVerdict | None = None
    worst_start_s: float | None = None
    worst_first_frame: int | None = None
    worst_last_frame: int | None = None
    picture_faults: str | None = None
    signer: str | None = None
    signing_error: str | None = None
    version: str | None = None  # of this product
    track_was_cached: bool | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    duration_s: float | None = None  # of the output's video
    output_bytes: int | None = None
    host: str | None = None
    pool: str | None = None
    table: Literal["jobs"] = "jobs"

    @property
    def facts(self) -> ResultFacts:
        """What is known of the result."""
        return ResultFacts(**{field.name: getattr(self, field.name) for field in fields(ResultFacts)})

    def with_score(self, scoring: Scoring, verdict: ScoreVerdict | None = None) -> "JobRow":
        """The row with the sync score of the result, or with the reason why it has none."""
        score = scoring.score
        worst = score.worst if score else None
        return replace(
            self,
            score=score_account(scoring, verdict),
            sync_score=score.score if score else None,
            score_judged_by=score.judged_by if score else None,
            score_offset_ms=score.offset_ms if score else None,
            score_verdict=verdict,
            worst_start_s=worst.start_s if worst else None,
            worst_first_frame=worst.first_frame if worst else None,
            worst_last_frame=worst.last_frame if worst else None,
            picture_faults=joined(scoring.pictures.faults) if scoring.pictures else None,
        )

    def with_provenance(self, provenance: Provenance) -> "JobRow":
        """The row with who has signed the result, or why nobody has."""
        return replace(
            self,
            provenance=provenance.account,
            signer=provenance.signer or None,
            signing_error=provenance.error.code if provenance.error else None,
        )


_VERDICT = ("attempt", "state", "error_code", "finished_at")
_RANKS = {JobState.ACCEPTED: 0, JobState.RUNNING: 1, JobState.COMPLETED: 2, JobState.FAILED: 2, JobState.CANCELLED: 2}


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one attempt; with `part_of`, a part of that stage."""

    job_id: UUID
    attempt: int
    stage: str
    wall_s: float
    cpu_s: float
    finished_at: datetime
    part_of: str = ""
    was_cached: bool = False  # an earlier run's result was used
    queue_s: float | None = None  # from ready to started
    items: int = 0
    bytes: int | None = None
    peak_rss_bytes: int | None = None
    gpu_util: float | None = None  # mean, 0..1
    gpu_mem_bytes: int | None = None  # at most
    provider: str | None = None  # that ran the stage's networks: cpu, cuda, tensorrt, server; None where it ran none
    served_requests: int | None = None  # that a model server answered; None, as below, where the stage asked none
    served_retries: int | None = None  # sent again after a failure
    served_rejections: int | None = None  # refused by a full queue, and sent again
    served_wait_s: float | None = None  # in tries without an answer and in the pauses after them
    host: str | None = None
    pool: str | None = None
    table: Literal["stage_timings"] = "stage_timings"

    def with_served(self, counts: ServingCounts | None) -> "StageRow":
        """The row of a stage that asked this of a model server."""
        if counts is None:
            return replace(self, served_requests=None, served_retries=None, served_rejections=None, served_wait_s=None)
        return replace(
            self,
            served_requests=counts.requests,
            served_retries=counts.retries,
            served_rejections=counts.rejections,
            served_wait_s=counts.waited_s,
        )


@dataclass(frozen=True, slots=True)
class FrameRow:
    """How many output frames of one attempt had this outcome."""

    job_id: UUID
    attempt: int
    outcome: str
    frames: int
    table: Literal["frame_outcomes"] = "frame_outcomes"


Row = KeyRow | JobRow | StageRow | FrameRow
_LINES: TypeAdapter[Row] = TypeAdapter(Annotated[Row, Field(discriminator="table")])


def row_to_line(row: Row) -> bytes:
    """The row as one line of JSON, without a line end."""
    return _LINES.dump_json(row, exclude_none=True)


def row_from_line(line: bytes) -> Row:
    """The row of a line. Raises ValueError where it holds none."""
    return _LINES.validate_json(line)


def merge_jobs(known: JobRow, told: JobRow) -> JobRow:
    """Both rows of one job in one, whichever comes first (unless they contradict each other in a fact).

    Attempt, state, error and end go together and are those of the later row; any other fact is the later row's where it
    has one. Later is the higher attempt, then the further state; the first of several ends stays.
    """
    is_later = (told.attempt, _RANKS[told.state]) > (known.attempt, _RANKS[known.state])
    later, earlier = (told, known) if is_later else (known, told)
    missing = {
        field.name: getattr(earlier, field.name)
        for field in fields(JobRow)
        if field.name not in _VERDICT and getattr(later, field.name) is None
    }
    return replace(later, **missing)


def columns(row: Row) -> dict[str, object]:
    """The row's values under the names of its table's columns."""
    names = [field.name for field in fields(row) if field.name != "table"]
    values: dict[str, object] = {name: getattr(row, name) for name in names}
    if isinstance(row, JobRow):
        values["id"] = values.pop("job_id")
    return values


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """One attempt of a job, and where it ran."""

    job_id: UUID
    number: int = 1  # from 1
    pool: str | None = None
    host: str | None = None  # this host by default

    @property
    def host_name(self) -> str:
        """The host's name."""
        return self.host or socket.gethostname()


def stage_rows(
    attempt: JobAttempt, timings: Sequence[StageTiming], part_of: str = "", cached: str = ""
) -> list[StageRow]:
    """A StageClock's rows; `cached` names the stage whose earlier result was used."""
    now = datetime.now(UTC)
    return [
        StageRow(
            attempt.job_id,
            attempt.number,
            timing.stage,
            wall_s=timing.wall_s,
            cpu_s=timing.cpu_s,
            finished_at=now,
            part_of=part_of,
            was_cached=timing.stage == cached,
            items=timing.items,
            provider=timing.provider,
            host=attempt.host_name,
            pool=attempt.pool,
        ).with_served(timing.served)
        for timing in timings
    ]


def frame_rows(attempt: JobAttempt, counts: FrameCounts) -> list[FrameRow]:
    """One row for each outcome, zero included, so that a sum over jobs needs no guess."""
    frames: Mapping[Outcome, int] = {
        Outcome.SYNCED: counts.synced,
        Outcome.PASSED_NO_FACE: counts.passed_no_face,
        Outcome.PASSED_LOW_SCORE: counts.passed_low_score,
        Outcome.PASSED_COVERED: counts.passed_covered,
    }
    return [FrameRow(attempt.job_id, attempt.number, outcome.name.lower(), count) for outcome, count in frames.items()]
