"""Who has signed a job's result, or why nobody has.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; rows of earlier releases have none."""
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("provenance", sa.Text()))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("provenance")
