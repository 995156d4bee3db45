"""What every stage asked of a model server, and how long it waited for it.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COUNTS = ("served_requests", "served_retries", "served_rejections")


def upgrade() -> None:
    """Add the columns; rows of earlier releases have no counts."""
    with op.batch_alter_table("stage_timings") as table:
        for name in _COUNTS:
            table.add_column(sa.Column(name, sa.BigInteger()))
        table.add_column(sa.Column("served_wait_s", sa.Double()))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("stage_timings") as table:
        for name in (*_COUNTS, "served_wait_s"):
            table.drop_column(name)
