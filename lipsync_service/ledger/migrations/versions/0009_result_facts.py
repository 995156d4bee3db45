"""The figures of a result's sync score, and its signer, each in a column of its own.

Revision: 0009, after 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("sync_score", sa.Double()),
    ("score_judged_by", sa.String(16)),
    ("score_offset_ms", sa.BigInteger()),
    ("score_verdict", sa.String(16)),
    ("worst_start_s", sa.Double()),
    ("worst_first_frame", sa.BigInteger()),
    ("worst_last_frame", sa.BigInteger()),
    ("picture_faults", sa.String(64)),
    ("signer", sa.Text()),
    ("signing_error", sa.String(64)),
)
_JOBS = sa.table("jobs", sa.column("provenance"), sa.column("signer"), sa.column("signing_error"))
_SOURCES = ("valid", "altered")  # the words that followed a signer's name where the video brought credentials


def upgrade() -> None:
    """Add the columns. Signers are taken from the line that names them; figures of scores were not kept."""
    with op.batch_alter_table("jobs") as table:
        for name, kind in _COLUMNS:
            table.add_column(sa.Column(name, kind))
    named: sa.ColumnElement[str] = sa.func.substr(_JOBS.c.provenance, len("signed by ") + 1)
    for source in _SOURCES:
        named = sa.func.replace(named, f"; the video's own credentials: {source}", "")
    op.execute(_JOBS.update().where(_JOBS.c.provenance.startswith("signed by ")).values(signer=named))
    is_failed = _JOBS.c.provenance.startswith("not signed: ")
    op.execute(_JOBS.update().where(is_failed).values(signing_error="SIGNING_FAILED"))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("jobs") as table:
        for name, _ in reversed(_COLUMNS):
            table.drop_column(name)
