"""The sync score of a job's result, or why it has none.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; rows of earlier releases have none."""
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("score", sa.Text()))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("score")
