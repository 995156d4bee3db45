"""The ledger's tables, alike on SQLite and PostgreSQL: keys, jobs, stage timings, frames by outcome, callbacks.

The schema is changed by a migration in `lipsync_service/ledger/migrations` only; a test compares the two.
"""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Double, ForeignKey, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

KEY_CHARS = 255


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone. SQLite stores no zone, so it holds UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC. Raises ValueError where it has no zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC; the database's session may have another zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables. Constraints are named by rule, so that a migration can name them on either database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), str: String(255), int: BigInteger(), float: Double()}  # noqa: RUF012


class IdempotencyKey(Base):
    """The job that a key stands for. The primary key decides between two claims that come at once.

    It refers to its job by value only: a key may be claimed before the job's row has left another host's spool.
    """

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(KEY_CHARS), primary_key=True)
    job_id: Mapped[UUID]
    request_digest: Mapped[str] = mapped_column(String(64))  # sha256 of the request, hexadecimal
    claimed_at: Mapped[datetime]


class Job(Base):
    """One job and its state. Addresses are kept without credentials and queries."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_created_at", "state", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt: Mapped[int]  # from 1; 0 while only a part of the job is known
    state: Mapped[str] = mapped_column(String(16))  # accepted, running, completed, failed, cancelled
    error_code: Mapped[str | None] = mapped_column(String(64))
    finished_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None] = mapped_column(String(KEY_CHARS), index=True)
    request_digest: Mapped[str | None] = mapped_column(String(64))
    video_url: Mapped[str | None] = mapped_column(Text)
    audio_url: Mapped[str | None] = mapped_column(Text)
    output_url: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None]  # name and version
    model_licence: Mapped[str | None]
    model_sha256: Mapped[str | None] = mapped_column(String(64))
    tracker: Mapped[str | None]
    blender: Mapped[str | None]
    enhancer: Mapped[str | None]
    encoder: Mapped[str | None]
    changes: Mapped[str | None] = mapped_column(Text)  # of every picture, "; " between them; "": none
    dropped: Mapped[str | None] = mapped_column(Text)  # what the video's file holds and the result does not
    provenance: Mapped[str | None] = mapped_column(Text)  # who has signed the result, or why nobody has
    warnings: Mapped[str | None] = mapped_column(Text)  # codes of the preflight, "; " between them; "": none
    score: Mapped[str | None] = mapped_column(Text)  # the sync score of the result in one line, or why it has none
    sync_score: Mapped[float | None]  # 0..1
    score_judged_by: Mapped[str | None] = mapped_column(String(16))  # asked, heard
    score_offset_ms: Mapped[int | None]  # above 0 the mouth is late
    score_verdict: Mapped[str | None] = mapped_column(String(16))  # passed, low, refused
    worst_start_s: Mapped[float | None]  # the second in which the mouth is furthest from what was wanted
    worst_first_frame: Mapped[int | None]
    worst_last_frame: Mapped[int | None]
    picture_faults: Mapped[str | None] = mapped_column(String(64))  # seam, flicker, held, "; " between them; "": none
    signer: Mapped[str | None] = mapped_column(Text)
    signing_error: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[str | None] = mapped_column(String(64))  # of this product
    track_was_cached: Mapped[bool | None]
    created_at: Mapped[datetime | None] = mapped_column(index=True)
    started_at: Mapped[datetime | None]
    wall_s: Mapped[float | None]
    cpu_s: Mapped[float | None]
    peak_rss_bytes: Mapped[int | None]
    duration_s: Mapped[float | None]  # of the output's video
    output_bytes: Mapped[int | None]
    host: Mapped[str | None]
    pool: Mapped[str | None]


class StageTiming(Base):
    """One stage of one attempt. A row with `part_of` is a part of that stage."""

    __tablename__ = "stage_timings"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part_of: Mapped[str] = mapped_column(String(64), primary_key=True)  # "" for a stage of the job itself
    stage: Mapped[str] = mapped_column(String(64), primary_key=True)
    was_cached: Mapped[bool]  # an earlier run's result was used
    wall_s: Mapped[float]
    cpu_s: Mapped[float]
    queue_s: Mapped[float | None]  # from ready to started
    items: Mapped[int]
    bytes: Mapped[int | None]
    peak_rss_bytes: Mapped[int | None]
    gpu_util: Mapped[float | None]  # mean over the stage, 0..1
    gpu_mem_bytes: Mapped[int | None]  # at most
    provider: Mapped[str | None] = mapped_column(String(32))  # that ran the stage's networks
    served_requests: Mapped[int | None]  # that a model server answered
    served_retries: Mapped[int | None]  # sent again after a failure
    served_rejections: Mapped[int | None]  # refused by a full queue, and sent again
    served_wait_s: Mapped[float | None]  # in tries without an answer and in the pauses after them
    host: Mapped[str | None]
    pool: Mapped[str | None]
    finished_at: Mapped[datetime] = mapped_column(index=True)


class FrameOutcome(Base):
    """The number of output frames of one attempt that had this outcome: synced, or passed through for a reason."""

    __tablename__ = "frame_outcomes"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    outcome: Mapped[str] = mapped_column(String(32), primary_key=True)
    frames: Mapped[int]


class CallbackDelivery(Base):
    """One event to send to a job's caller. The address is not here: only the job's request holds it.

    It refers to its job by value only: the job's row may lie in another host's spool.
    """

    __tablename__ = "callback_deliveries"

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(index=True)
    attempt: Mapped[int]
    event: Mapped[str] = mapped_column(String(32))  # job.completed, job.failed, job.cancelled
    created_at: Mapped[datetime]
    tries: Mapped[int]  # begun, the present one included
    next_at: Mapped[datetime | None] = mapped_column(index=True)  # of the next try; none once it is over
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_status: Mapped[int | None]  # of the receiver's last answer
    last_error: Mapped[str | None] = mapped_column(String(64))  # the code of the last failure without an answer


class WatchLease(Base):
    """The watcher that does the work of which only one watcher may do at a time."""

    __tablename__ = "watch_leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[UUID]
    until: Mapped[datetime]
