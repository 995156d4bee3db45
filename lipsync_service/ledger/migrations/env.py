"""Alembic's environment: it migrates over the given connection, or at the address of `-x url=...`."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection

from lipsync_core.errors import OptionError
from lipsync_service.ledger.database import open_engine
from lipsync_service.ledger.tables import Base, UtcDateTime

# Any number, as long as nothing else in the same database uses it as a lock; several workers may upgrade at once.
_ADVISORY_LOCK = 7_216_053_481


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_item=_render,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite cannot alter a column in place
        transactional_ddl=True,  # on SQLite too: a migration that breaks leaves nothing behind
    )
    context.run_migrations()


def _render(kind: str, thing: object, _: object) -> str | Literal[False]:
    """Migrations name the database's own types, or they would change with our code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(thing, UtcDateTime) else False


def _run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None or context.is_offline_mode():
        raise OptionError("alembic needs the ledger's address", "give it as: -x url=sqlite:///FILE (and no --sql)")
    with open_engine(url, statement_limit_s=0).begin() as connection:
        _migrate(connection)


_run()
