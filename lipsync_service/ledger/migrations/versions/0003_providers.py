"""The execution provider of every stage that ran a network.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; rows of earlier releases have no provider."""
    with op.batch_alter_table("stage_timings") as table:
        table.add_column(sa.Column("provider", sa.String(length=32)))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("stage_timings") as table:
        table.drop_column("provider")
