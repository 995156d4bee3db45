"""The ledger: idempotency keys, jobs, stage timings, frames by outcome.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the four tables."""
    _create_idempotency_keys()
    _create_jobs()
    _create_stage_timings()
    _create_frame_outcomes()


def downgrade() -> None:
    """Drop them; what they hold is lost."""
    op.drop_table("frame_outcomes")
    op.drop_table("stage_timings")
    op.drop_table("jobs")
    op.drop_table("idempotency_keys")


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("idempotency_key", sa.String(length=255)),
        sa.Column("request_digest", sa.String(length=64)),
        sa.Column("video_url", sa.Text()),
        sa.Column("audio_url", sa.Text()),
        sa.Column("output_url", sa.Text()),
        sa.Column("model", sa.String(length=255)),
        sa.Column("model_licence", sa.String(length=255)),
        sa.Column("model_sha256", sa.String(length=64)),
        sa.Column("tracker", sa.String(length=255)),
        sa.Column("blender", sa.String(length=255)),
        sa.Column("enhancer", sa.String(length=255)),
        sa.Column("encoder", sa.String(length=255)),
        sa.Column("version", sa.String(length=64)),
        sa.Column("track_was_cached", sa.Boolean()),
        sa.Column("created_at", sa.DateTime(timezone=True)),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("wall_s", sa.Double()),
        sa.Column("cpu_s", sa.Double()),
        sa.Column("peak_rss_bytes", sa.BigInteger()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("output_bytes", sa.BigInteger()),
        sa.Column("host", sa.String(length=255)),
        sa.Column("pool", sa.String(length=255)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"])
    op.create_index("ix_jobs_idempotency_key", "jobs", ["idempotency_key"])
    op.create_index("ix_jobs_state_created_at", "jobs", ["state", "created_at"])


def _create_stage_timings() -> None:
    op.create_table(
        "stage_timings",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part_of", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("was_cached", sa.Boolean(), nullable=False),
        sa.Column("wall_s", sa.Double(), nullable=False),
        sa.Column("cpu_s", sa.Double(), nullable=False),
        sa.Column("queue_s", sa.Double()),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("peak_rss_bytes", sa.BigInteger()),
        sa.Column("gpu_util", sa.Double()),
        sa.Column("gpu_mem_bytes", sa.BigInteger()),
        sa.Column("host", sa.String(length=255)),
        sa.Column("pool", sa.String(length=255)),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_stage_timings_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", "part_of", "stage", name="pk_stage_timings"),
    )
    op.create_index("ix_stage_timings_finished_at", "stage_timings", ["finished_at"])


def _create_frame_outcomes() -> None:
    op.create_table(
        "frame_outcomes",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_frame_outcomes_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", "outcome", name="pk_frame_outcomes"),
    )
