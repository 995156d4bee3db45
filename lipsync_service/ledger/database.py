"""The ledger's database: opened with limits to waiting, brought to the present schema, its failures translated."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lipsync_core.errors import OptionError
from lipsync_service.errors import LedgerUnavailableError

_WAIT_S = 5  # limit to what a database that hangs may cost a job
_READS = "lipsync_reads"
_NAME_IT = "name the ledger's database with --database"
_REMEDY = "see that its database runs and that its schema is up to date"


def parse_url(database_url: str) -> URL:
    """The database's address, with the driver that this product installs.

    Raises:
        OptionError: it is no address, or of another kind of database. The message holds no password.
    """
    remedy = "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError) as exc:  # a port that is no number
        raise OptionError("the ledger's address cannot be read", remedy) from exc
    match url.get_backend_name():
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite" if url.database in (None, "", ":memory:"):
            raise OptionError("an SQLite ledger needs a file", remedy)
        case "sqlite":
            return url.set(drivername="sqlite")
        case backend:
            raise OptionError(f"the ledger cannot be kept in {backend!r}", remedy)


def open_engine(database_url: str, statement_limit_s: int = _WAIT_S, *, keeps_one: bool = False) -> Engine:
    """An engine that closes its connections after use: hundreds of workers hold no idle ones.

    Nothing is opened yet, and nothing is shared with a process that forks off. PostgreSQL gives up a statement after
    `statement_limit_s` (0: never). With `keeps_one` it keeps one connection of PostgreSQL open, for a caller who comes
    again within seconds: each new one costs both sides 5 ms of CPU. Its `dispose` closes it.

    Raises:
        OptionError: the address is not one of a database that the ledger knows.
    """
    url = parse_url(database_url)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediately)
        return engine
    arguments = {  # libpq's; both timeouts in ms
        "connect_timeout": _WAIT_S,
        "tcp_user_timeout": 1000 * _WAIT_S,
        "options": f"-c statement_timeout={1000 * statement_limit_s}",
        "application_name": "lipsync-ledger",
    }
    if keeps_one:  # it is tried before each use, since a server that has started again knows it no more
        return create_engine(
            url, poolclass=QueuePool, pool_size=1, max_overflow=-1, pool_pre_ping=True, connect_args=arguments
        )
    return create_engine(url, poolclass=NullPool, connect_args=arguments)


#: How SQLite and PostgreSQL name a column or a table that a migration has still to add.
_OLD_SCHEMA = ("no such column", "no such table", "does not exist")


@contextmanager
def reading(engine: Engine, remedy: str = _REMEDY) -> Iterator[Connection]:
    """A connection that only reads: on SQLite it holds up no writer. `remedy` goes with a failure's message.

    Raises:
        LedgerUnavailableError: the database is down, slow, or has no ledger of this version.
    """
    with unavailable("cannot be read", remedy), engine.execution_options(**{_READS: True}).connect() as connection:
        yield connection


@contextmanager
def reading_known(database_url: str, statement_limit_s: int = _WAIT_S) -> Iterator[Connection]:
    """A connection that only reads the ledger at an address that the user gave; SQLite would make an empty file.

    Raises:
        LedgerUnavailableError: the database is down, or has no ledger of this version, or is no file that is there.
        OptionError: the address is not one of a database that the ledger knows.
    """
    path = sqlite_path(database_url)
    if path is not None and not path.is_file():
        raise LedgerUnavailableError(f"there is no ledger at {path}", _NAME_IT)
    with reading(open_engine(database_url, statement_limit_s), _NAME_IT) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction, which is committed as the block ends.

    Raises:
        LedgerUnavailableError: the database is down, slow, or has no ledger of this version.
    """
    with unavailable("cannot be written"), engine.begin() as connection:
        yield connection


@contextmanager
def unavailable(fault: str, remedy: str = _REMEDY) -> Iterator[None]:
    """Translate SQLAlchemy's errors: the ledger `fault`, such as "cannot be read".

    Raises:
        LedgerUnavailableError: the block failed in the database.
    """
    try:
        yield
    except SQLAlchemyError as exc:
        reason = reason_of(exc)
        if any(words in reason for words in _OLD_SCHEMA):
            remedy = "its schema is older than this version: run python -m lipsync_service.ledger.migrations URL"
        raise LedgerUnavailableError(f"the ledger {fault}: {reason}", remedy) from exc


def reason_of(failure: Exception) -> str:
    """The first line of the driver's message: SQLAlchemy's own message would hold the values of a row."""
    text = str(getattr(failure, "orig", None) or failure).strip()
    return text.partition("\n")[0] or type(failure).__name__


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`, creating it where there is none; several may do so at once.

    Raises:
        OptionError: see `parse_url`.
        LedgerUnavailableError: the database is down, or refuses a step.
    """
    path = sqlite_path(database_url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _migrating(database_url) as connection:
        command.upgrade(migration_config(connection), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to `revision` ("base": nothing is left). Raises as `upgrade` does."""
    with _migrating(database_url) as connection:
        command.downgrade(migration_config(connection), revision)


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for the migrations that are installed with this product."""
    config = Config()
    folder = str(resources.files("lipsync_service.ledger.migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def sqlite_path(database_url: str) -> Path | None:
    """The file of an SQLite ledger; None for any other. Raises OptionError as `parse_url` does."""
    url = parse_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


@contextmanager
def _migrating(database_url: str) -> Iterator[Connection]:
    with unavailable("cannot be migrated"), open_engine(database_url, statement_limit_s=0).begin() as connection:
        yield connection


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, DDL included
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediately(connection: Connection) -> None:
    """Take the write lock first: a reader that turns into a writer would be refused without waiting."""
    is_reading = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
