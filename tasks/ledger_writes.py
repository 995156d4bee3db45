"""Writing rows so that repetition and order do not matter: each row counts once, the latest state of a job stays."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from tasks.ledger_rows import FrameRow, JobRow, JobState, KeyRow, Row, StageRow, columns
from tasks.ledger_tables import Base, Job

_Insert = postgresql.Insert | sqlite.Insert
# Within one attempt a later state replaces an earlier one; the first of several ends stays.
_RANKS = {JobState.ACCEPTED: 0, JobState.RUNNING: 1, JobState.COMPLETED: 2, JobState.FAILED: 2, JobState.CANCELLED: 2}
_VERDICT = ("attempt", "state", "error_code", "finished_at")


def write_rows(connection: Connection, rows: Iterable[Row]) -> None:
    """Write `rows` in the connection's transaction.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is down, or refuses a value.
    """
    for row in rows:
        match row:
            case JobRow():
                connection.execute(_merged(connection, row))
            case KeyRow():
                _write_once(connection, row)
            case StageRow() | FrameRow():
                # The job itself may still lie in another host's spool.
                _write_once(connection, JobRow(row.job_id, 0, JobState.ACCEPTED))
                _write_once(connection, row)


def claim_key(connection: Connection, row: KeyRow) -> KeyRow:
    """The claim that holds for the key: `row`, or the one that came before it.

    The primary key decides: the second of two at once waits for the first one's transaction, then finds its row.
    """
    _write_once(connection, row)
    table = _table(row)
    found = connection.execute(select(table).where(table.c.key == row.key)).one()
    job_id: UUID = found.job_id
    claimed_at: datetime = found.claimed_at
    return replace(row, job_id=job_id, request_digest=found.request_digest, claimed_at=claimed_at)


def _table(row: Row) -> Table:
    return Base.metadata.tables[row.table]


def _insert(connection: Connection, row: Row) -> _Insert:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(_table(row)).values(columns(row))


def _write_once(connection: Connection, row: Row) -> None:
    connection.execute(_insert(connection, row).on_conflict_do_nothing())


def _merged(connection: Connection, row: JobRow) -> _Insert:
    """Insert the job, or bring what is known of it together with what `row` says."""
    insert = _insert(connection, row)
    table, new = _table(row), insert.excluded
    is_newer = or_(
        new.attempt > table.c.attempt,
        and_(new.attempt == table.c.attempt, _rank(new.state) > _rank(table.c.state)),
    )
    changes: dict[str, ColumnElement[object]] = {}
    for column in table.c:
        if column.name in _VERDICT:
            changes[column.name] = case((is_newer, new[column.name]), else_=column)
        elif column.name != Job.id.key:
            ours, theirs = func.coalesce(new[column.name], column), func.coalesce(column, new[column.name])
            changes[column.name] = case((is_newer, ours), else_=theirs)
    return insert.on_conflict_do_update(index_elements=[table.c.id], set_=changes)


def _rank(state: ColumnElement[str]) -> ColumnElement[int]:
    return case({str(name): rank for name, rank in _RANKS.items()}, value=state, else_=0)
