"""Old rows of the ledger, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.ledger_databases import KINDS, fresh_database, sqlalchemy  # skips all below without the extra

# isort: split
from lipsync_core.report import FrameCounts
from lipsync_service.callbacks.deliveries import Deliveries
from lipsync_service.callbacks.sender import JobOutcome, Reply
from lipsync_service.ledger.database import open_engine, upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.pruning import LedgerPruner, Pruned
from lipsync_service.ledger.rows import JobAttempt, JobRow, JobState, StageRow, frame_rows
from lipsync_service.ledger.tables import Base

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LIMIT = NOW - timedelta(days=30)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


def count(url: str, table: str) -> int:
    with open_engine(url).connect() as connection:
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(Base.metadata.tables[table])
        return int(connection.execute(query).scalar_one())


def told(ledger: Ledger, state: JobState, finished_at: datetime | None, key: str) -> UUID:
    """A job with its key, a stage and frames."""
    job = JobRow(uuid4(), 1, JobState.ACCEPTED, request_digest="a" * 64, idempotency_key=key, created_at=finished_at)
    ledger.claim(job)
    stage = StageRow(job.job_id, 1, "track", wall_s=1.0, cpu_s=1.0, finished_at=finished_at or NOW)
    ended = replace(job, state=state, finished_at=finished_at)
    ledger.record(ended, stage, *frame_rows(JobAttempt(job.job_id), FrameCounts(9, 1, 0)))
    return job.job_id


def test_ended_jobs_go_with_their_stages_frames_and_keys_and_all_others_stay(url: str, tmp_path: Path) -> None:
    ledger = Ledger(url, tmp_path / "spool")
    old = [
        told(ledger, state, LIMIT - timedelta(hours=1), state.value) for state in (JobState.COMPLETED, JobState.FAILED)
    ]
    stay = [
        told(ledger, JobState.COMPLETED, LIMIT + timedelta(hours=1), "young"),
        told(ledger, JobState.RUNNING, None, "at work"),
    ]
    tables = ("jobs", "stage_timings", "frame_outcomes", "idempotency_keys")
    before = {table: count(url, table) for table in tables}
    pruner = LedgerPruner(url)
    assert pruner.jobs(LIMIT, is_dry=True) == Pruned(removed=2, left=2)
    assert {table: count(url, table) for table in tables} == before
    assert pruner.jobs(LIMIT, is_dry=False) == Pruned(removed=2, left=2)
    assert [ledger.job(each) is None for each in (*old, *stay)] == [True, True, False, False]
    assert {table: count(url, table) for table in tables} == {table: rows // 2 for table, rows in before.items()}
    again = replace(JobRow(uuid4(), 1, JobState.ACCEPTED, request_digest="b" * 64), idempotency_key="completed")
    assert ledger.claim(again).is_new  # another request may have the key now


def test_callbacks_that_are_over_go_and_those_to_be_sent_stay(url: str) -> None:
    deliveries = Deliveries(url)
    outcomes = [JobOutcome(uuid4(), 1, JobState.COMPLETED, LIMIT, LIMIT) for _ in range(3)]
    deliveries.add(outcomes, LIMIT - timedelta(days=2))
    for delivery, moment in zip(
        deliveries.due(NOW, 3)[:2], (LIMIT - timedelta(days=1), LIMIT + timedelta(days=1)), strict=True
    ):
        claimed = deliveries.claim(delivery, NOW)
        assert claimed is not None
        deliveries.record(claimed, Reply(status=200), moment)
    pruner = LedgerPruner(url)
    assert pruner.callbacks(LIMIT, is_dry=True) == Pruned(removed=1, left=2)
    assert count(url, "callback_deliveries") == 3
    assert pruner.callbacks(LIMIT, is_dry=False) == Pruned(removed=1, left=2)
    assert count(url, "callback_deliveries") == 2


def test_more_rows_than_one_transaction_takes_all_go(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsync_service.ledger.pruning.AT_ONCE", 2)
    ledger = Ledger(url, tmp_path / "spool")
    for number in range(5):
        told(ledger, JobState.COMPLETED, LIMIT - timedelta(hours=1), str(number))
    assert LedgerPruner(url).jobs(LIMIT, is_dry=False) == Pruned(removed=5, left=0)
    assert count(url, "jobs") == count(url, "idempotency_keys") == 0
