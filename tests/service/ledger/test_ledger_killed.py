"""Processes are killed at any moment, and the database fails: after a replay every row is there exactly once."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.ledger_databases import KINDS, fresh_database, outage  # skips all below where the extra is missing

# isort: split
from lipsync_service.ledger.database import open_engine, upgrade
from lipsync_service.ledger.ledger import Ledger

ROOT = Path(__file__).parents[3]
# Reports one job after the other to the ledger, and prints the jobs that it has reported in full.
WORKER = """
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
from lipsync_core.report import FrameCounts
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow, JobState, StageRow

ledger = Ledger(sys.argv[1], Path(sys.argv[2]), retry_after_s=0)
print("ready", flush=True)
while True:
    job = JobRow(uuid4(), 1, JobState.ACCEPTED, idempotency_key=uuid4().hex, request_digest="d")
    ledger.claim(job)
    ledger.job_started(job)
    now = datetime.now(UTC)
    ledger.stages_timed([StageRow(job.job_id, 1, name, 1.0, 1.0, now) for name in ("track", "infer", "blend")])
    ledger.job_finished(replace(job, state=JobState.COMPLETED), FrameCounts(7, 2, 1))
    print(job.job_id, flush=True)
"""


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


def start_worker(url: str, spool: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, spool],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    return worker


def told_until_killed(worker: subprocess.Popen[str], delay_s: float = 0.0) -> set[UUID]:
    """The jobs that the worker has printed: the first, and those until it is killed `delay_s` later."""
    with worker:
        assert worker.stdout is not None
        told = worker.stdout.readline()
        time.sleep(delay_s)
        worker.kill()
        told += worker.stdout.read()
    assert worker.returncode == -9, "the worker ended by itself"
    return {UUID(line) for line in told.splitlines() if len(line) == 36}


def test_every_row_is_there_exactly_once_after_kills_and_an_outage(url: str, tmp_path: Path) -> None:
    delays, spool = random.Random(11), tmp_path / "spool"
    told: set[UUID] = set()
    for _ in range(2):
        workers = [start_worker(url, spool) for _ in range(2)]
        time.sleep(delays.uniform(0.05, 0.2))
        with outage(url):
            told |= told_until_killed(workers[0], delays.uniform(0.1, 0.3))  # while its rows go to the spool
        told |= told_until_killed(workers[1], delays.uniform(0.05, 0.3))  # while it writes waiting rows
    ledger = Ledger(url, spool)
    ledger.replay()
    assert ledger.replay() == 0
    assert told
    assert_each_once(url, told)


def assert_each_once(url: str, told: set[UUID]) -> None:
    with open_engine(url).connect() as connection:
        jobs = connection.exec_driver_sql("SELECT id, state FROM jobs").all()
        stages = connection.exec_driver_sql("SELECT job_id, stage, wall_s FROM stage_timings").all()
        frames = connection.exec_driver_sql("SELECT job_id, outcome, frames FROM frame_outcomes").all()
        keys = connection.exec_driver_sql("SELECT job_id FROM idempotency_keys").all()
    states = {UUID(str(row[0])): row[1] for row in jobs}
    assert len(states) == len(jobs)
    expected_stages = [(job, stage, 1.0) for job in told for stage in ("blend", "infer", "track")]
    outcomes = (("passed_covered", 0), ("passed_low_score", 1), ("passed_no_face", 2), ("synced", 7))
    expected_frames = [(job, *outcome) for job in told for outcome in outcomes]
    assert {states.get(job) for job in told} == {"completed"}
    assert sorted(row for row in normal(stages) if row[0] in told) == sorted(expected_stages)
    assert sorted(row for row in normal(frames) if row[0] in told) == sorted(expected_frames)
    assert {UUID(str(row[0])) for row in keys} >= told


def normal(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """With the job's identifier in one form: the databases write it in two."""
    return [(UUID(str(row[0])), *row[1:]) for row in rows]


def test_a_replay_killed_between_writing_and_forgetting_writes_nothing_twice(url: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with outage(url):
        told = told_until_killed(start_worker(url, spool), delay_s=0.3)
    script = (
        "import os, sys; from pathlib import Path; from lipsync_service.ledger.ledger import Ledger\n"
        "Path.unlink = lambda path: os.kill(os.getpid(), 9)\n"
        "Ledger(sys.argv[1], Path(sys.argv[2])).replay()"
    )
    done = subprocess.run([sys.executable, "-c", script, url, spool], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert list(spool.glob("*.sealed"))
    assert_each_once(url, told)
    assert Ledger(url, spool).replay() > 0  # written again
    assert_each_once(url, told)
