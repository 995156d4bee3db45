"""What was changed in every picture of a job's result, and what the result drops.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; rows of earlier releases have none."""
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("changes", sa.Text()))
        table.add_column(sa.Column("dropped", sa.Text()))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("dropped")
        table.drop_column("changes")
