"""The warnings of a job's preflight.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; rows of earlier releases have none."""
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("warnings", sa.Text()))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("warnings")
