"""Callbacks that wait for their receiver, and which watcher may act.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables of the watcher."""
    op.create_table(
        "callback_deliveries",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("given_up_at", sa.DateTime(timezone=True)),
        sa.Column("last_status", sa.BigInteger()),
        sa.Column("last_error", sa.String(length=64)),
        sa.PrimaryKeyConstraint("event_id", name="pk_callback_deliveries"),
    )
    op.create_index("ix_callback_deliveries_job_id", "callback_deliveries", ["job_id"])
    op.create_index("ix_callback_deliveries_next_at", "callback_deliveries", ["next_at"])
    op.create_table(
        "watch_leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watch_leases"),
    )


def downgrade() -> None:
    """Drop them: callbacks that have not arrived are forgotten."""
    op.drop_table("watch_leases")
    op.drop_table("callback_deliveries")
