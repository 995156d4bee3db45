"""Writes rows so that repetition and order do not matter: each row counts once, the latest state of a job stays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from uuid import UUID

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lipsync_service.ledger.rows import FrameRow, JobRow, JobState, KeyRow, Row, StageRow, columns, merge_jobs
from lipsync_service.ledger.tables import Base, FrameOutcome, IdempotencyKey, Job, StageTiming

_TABLES: Mapping[str, type[Base]] = {
    each.__tablename__: each for each in (IdempotencyKey, Job, StageTiming, FrameOutcome)
}


def insert_new(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, object]]) -> bool:
    """Insert `rows`, columns by name, into `table`; a row whose key is there already stays as it is.

    Returns whether any row is new.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is down, or refuses a value.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(statement, list(rows)).rowcount > 0


def write_rows(connection: Connection, rows: Iterable[Row]) -> None:
    """Write `rows` in the connection's transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is down, or refuses a value.
    """
    measured: list[StageRow | FrameRow] = []
    for row in rows:
        match row:
            case JobRow():
                _write_job(connection, row)
            case KeyRow():
                _write_once(connection, [row])
            case StageRow() | FrameRow():
                measured.append(row)
    # The row of the job itself may still wait in another host's spool.
    _write_once(
        connection, [JobRow(job_id, 0, JobState.ACCEPTED) for job_id in sorted({row.job_id for row in measured})]
    )
    _write_once(connection, [row for row in measured if isinstance(row, StageRow)])
    _write_once(connection, [row for row in measured if isinstance(row, FrameRow)])


def claim_key(connection: Connection, row: KeyRow) -> KeyRow:
    """The valid claim of the key: `row`, or an earlier one.

    The primary key decides: the second of two at once waits for the first one's transaction, then finds its row.
    """
    if _write_once(connection, [row]):
        return row
    found = connection.execute(select(IdempotencyKey.__table__).where(IdempotencyKey.key == row.key)).one()
    return replace(row, job_id=found.job_id, request_digest=found.request_digest, claimed_at=found.claimed_at)


def read_job(connection: Connection, job_id: UUID, is_for_update: bool = False) -> JobRow | None:
    """The job's row; None where there is none. With `is_for_update` it is locked until the transaction ends."""
    query = select(Job.__table__).where(Job.id == job_id)
    found = connection.execute(query.with_for_update() if is_for_update else query).one_or_none()
    if found is None:
        return None
    names = [field.name for field in fields(JobRow) if field.name not in ("job_id", "state", "table")]
    return JobRow(job_id, state=JobState(found.state), **{name: getattr(found, name) for name in names})


def _write_job(connection: Connection, row: JobRow) -> None:
    """Insert the job, or merge `row` into its row."""
    if _write_once(connection, [row]):
        return
    known = read_job(connection, row.job_id, is_for_update=True)
    merged = merge_jobs(known, row) if known else row
    connection.execute(update(Job).where(Job.id == row.job_id).values(columns(merged)))


def _write_once(connection: Connection, rows: Sequence[Row]) -> bool:
    """`insert_new` for rows of one table."""
    return bool(rows) and insert_new(connection, _TABLES[rows[0].table], [columns(row) for row in rows])
