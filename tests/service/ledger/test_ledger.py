"""The ledger, on both databases: each row is found again once, also if rows come in another order or repeatedly."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.ledger_databases import KINDS, fresh_database, outage, sqlalchemy  # skips all below without the extra

# isort: split
from lipsync_core.errors import OptionError
from lipsync_core.report import FrameCounts
from lipsync_service.errors import IdempotencyConflictError, LedgerUnavailableError
from lipsync_service.ledger.database import open_engine, upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow, JobState, StageRow, row_from_line, row_to_line
from lipsync_service.ledger.tables import Base

NOW = datetime(2026, 5, 4, 12, 30, 15, 250_000, tzinfo=UTC)
DIGEST = "a" * 64
LIMIT_S = 30.0


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


@pytest.fixture
def ledger(url: str, tmp_path: Path) -> Ledger:
    return Ledger(url, tmp_path / "spool", retry_after_s=0)


def a_job(**facts: object) -> JobRow:
    return replace(JobRow(uuid4(), 1, JobState.ACCEPTED, request_digest=DIGEST), **facts)


def a_stage(job_id: UUID, stage: str = "track", **facts: object) -> StageRow:
    return replace(StageRow(job_id, 1, stage, wall_s=1.5, cpu_s=2.25, finished_at=NOW), **facts)


def count(url: str, table: str) -> int:
    with open_engine(url).connect() as connection:
        return connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(tables()[table])).scalar_one()


def tables() -> "dict[str, sqlalchemy.Table]":
    return dict(Base.metadata.tables)


def test_a_job_comes_back_as_it_was_told(ledger: Ledger) -> None:
    job = a_job(
        state=JobState.FAILED,
        error_code="NO_FACE",
        video_url="s3://in/face.mp4",
        model="viseme/1",
        track_was_cached=True,
        created_at=NOW,
        started_at=NOW + timedelta(seconds=1),
        finished_at=NOW.astimezone(timezone(timedelta(hours=2))) + timedelta(seconds=3),
        wall_s=2.0,
        peak_rss_bytes=5 << 30,
    )
    ledger.record(job)
    assert ledger.job(job.job_id) == job
    assert ledger.job(uuid4()) is None


def test_a_job_goes_through_its_states(ledger: Ledger) -> None:
    job = a_job()
    ledger.record(job)
    ledger.job_started(replace(job, host="box"))
    ledger.job_finished(replace(job, state=JobState.COMPLETED, model="viseme/1"), FrameCounts(270, 8, 2))
    found = ledger.job(job.job_id)
    assert found is not None
    assert (found.state, found.host, found.model) == (JobState.COMPLETED, "box", "viseme/1")
    assert found.started_at is not None and found.finished_at is not None
    assert found.started_at <= found.finished_at


def test_frames_are_counted_by_outcome(ledger: Ledger, url: str) -> None:
    job = a_job(state=JobState.COMPLETED)
    ledger.job_finished(job, FrameCounts(270, 7, 2, 1))
    with open_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT outcome, frames FROM frame_outcomes").all()
    assert dict(map(tuple, rows)) == {"synced": 270, "passed_no_face": 7, "passed_low_score": 2, "passed_covered": 1}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_the_order_in_which_rows_arrive_does_not_matter(ledger: Ledger, order: tuple[int, ...]) -> None:
    job = a_job()
    rows = (
        replace(job, video_url="s3://in/face.mp4", created_at=NOW),
        replace(job, state=JobState.RUNNING, started_at=NOW, host="box"),
        replace(job, state=JobState.FAILED, error_code="NO_FACE", finished_at=NOW),
    )
    for index in order:
        ledger.record(rows[index])
    merged = replace(rows[2], video_url="s3://in/face.mp4", created_at=NOW, started_at=NOW, host="box")
    assert ledger.job(job.job_id) == merged


def test_a_second_attempt_opens_the_job_again_and_the_first_one_cannot_close_it(ledger: Ledger) -> None:
    job = a_job()
    failed = replace(job, state=JobState.FAILED, error_code="TRANSIENT", finished_at=NOW)
    ledger.record(failed)
    ledger.job_started(replace(job, attempt=2))
    ledger.record(failed)  # written again by a replay
    found = ledger.job(job.job_id)
    assert found is not None
    assert (found.attempt, found.state, found.error_code, found.finished_at) == (2, JobState.RUNNING, None, None)


def test_the_first_end_of_an_attempt_stays(ledger: Ledger) -> None:
    job = a_job()
    ledger.job_finished(replace(job, state=JobState.CANCELLED))
    ledger.job_finished(replace(job, state=JobState.COMPLETED))
    found = ledger.job(job.job_id)
    assert found is not None and found.state is JobState.CANCELLED


def test_a_stage_is_kept_once_with_all_its_figures(ledger: Ledger, url: str) -> None:
    job = a_job()
    stage = a_stage(
        job.job_id, queue_s=0.5, items=280, bytes=7 << 32, gpu_util=0.75, gpu_mem_bytes=1 << 30, pool="gpu", host="g1"
    )
    ledger.stages_timed([stage, a_stage(job.job_id, "decode", part_of="track")])
    ledger.stages_timed([replace(stage, wall_s=99.0)])
    with open_engine(url).connect() as connection:
        rows = connection.execute(tables()["stage_timings"].select().order_by(sqlalchemy.text("part_of"))).all()
    assert [(row.stage, row.part_of, row.wall_s) for row in rows] == [("track", "", 1.5), ("decode", "track", 1.5)]
    assert (rows[0].bytes, rows[0].gpu_util, rows[0].gpu_mem_bytes, rows[0].queue_s) == (7 << 32, 0.75, 1 << 30, 0.5)
    assert rows[0].finished_at == NOW


def test_a_stage_may_come_before_its_job(ledger: Ledger) -> None:
    job = a_job(state=JobState.RUNNING, created_at=NOW)
    ledger.stages_timed([a_stage(job.job_id)])
    ledger.record(job)
    assert ledger.job(job.job_id) == job


def test_the_same_key_and_request_is_the_same_job(ledger: Ledger, url: str) -> None:
    first, second = a_job(idempotency_key="k"), a_job(idempotency_key="k")
    claim = ledger.claim(first)
    assert (claim.job_id, claim.is_new, claim.is_certain) == (first.job_id, True, True)
    claim = ledger.claim(second)
    assert (claim.job_id, claim.is_new, claim.is_certain) == (first.job_id, False, True)
    assert ledger.claim(first).is_new  # a second attempt of the job itself
    assert count(url, "jobs") == 1


def test_a_claim_fails_when_the_key_has_another_request(ledger: Ledger, url: str) -> None:
    first = a_job(idempotency_key="k")
    ledger.claim(first)
    for job in (a_job(idempotency_key="k", request_digest="b" * 64), replace(first, request_digest="b" * 64)):
        with pytest.raises(IdempotencyConflictError, match=str(first.job_id)) as failure:
            ledger.claim(job)
        assert failure.value.code == "IDEMPOTENCY_CONFLICT"
    assert count(url, "jobs") == 1
    found = ledger.job(first.job_id)
    assert found is not None and found.request_digest == DIGEST


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "nul\0"])
def test_a_claim_fails_when_the_key_cannot_be_kept(ledger: Ledger, key: str) -> None:
    with pytest.raises(OptionError, match="idempotency key"):
        ledger.claim(a_job(idempotency_key=key))


def test_jobs_without_a_key_are_all_new(ledger: Ledger, url: str) -> None:
    assert ledger.claim(a_job()).is_new and ledger.claim(a_job()).is_new
    assert count(url, "jobs") == 2


def test_one_of_many_claims_at_once_wins(url: str, tmp_path: Path) -> None:
    jobs = [a_job(idempotency_key="k") for _ in range(8)]
    start = threading.Barrier(len(jobs))
    claims = []

    def claim(job: JobRow) -> None:
        ledger = Ledger(url, tmp_path / "spool")
        start.wait()
        claims.append(ledger.claim(job))

    threads = [threading.Thread(target=claim, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == len(jobs)
    assert all(each.is_certain for each in claims)
    assert sum(each.is_new for each in claims) == 1
    assert len({each.job_id for each in claims}) == 1
    assert count(url, "jobs") == 1


def test_an_outage_fails_no_job_and_loses_no_row(ledger: Ledger, url: str, tmp_path: Path) -> None:
    job = a_job(idempotency_key="k", created_at=NOW)
    with outage(url):
        claim = ledger.claim(job)
        assert (claim.is_new, claim.is_certain) == (True, False)
        ledger.job_started(job)
        ledger.stages_timed([a_stage(job.job_id)])
        ledger.job_finished(replace(job, state=JobState.COMPLETED), FrameCounts(1, 0, 0))
        with pytest.raises(LedgerUnavailableError):
            ledger.replay()
        with pytest.raises(LedgerUnavailableError):
            ledger.job(job.job_id)
    other = Ledger(url, tmp_path / "spool")
    assert other.replay() == 9  # the key, the job three times, a stage, four outcomes
    assert other.replay() == 0
    found = other.job(job.job_id)
    assert found is not None and found.state is JobState.COMPLETED
    assert (count(url, "stage_timings"), count(url, "frame_outcomes")) == (1, 4)
    assert not other.claim(a_job(idempotency_key="k")).is_new


def test_the_next_row_that_gets_through_brings_the_waiting_ones(ledger: Ledger, url: str) -> None:
    with outage(url):
        ledger.record(a_job())
    ledger.record(a_job())
    assert count(url, "jobs") == 2


def test_a_database_that_is_down_is_left_alone_for_a_while(url: str, tmp_path: Path) -> None:
    ledger = Ledger(url, tmp_path / "spool", retry_after_s=3600)
    with outage(url):
        ledger.record(a_job())
    ledger.record(a_job())
    assert count(url, "jobs") == 0
    assert ledger.replay() == 2


def test_a_key_claimed_on_two_hosts_during_an_outage_belongs_to_one_and_both_jobs_are_kept(
    url: str, tmp_path: Path
) -> None:
    ledgers = [Ledger(url, tmp_path / name, retry_after_s=0) for name in ("host_a", "host_b")]
    with outage(url):
        claims = [ledger.claim(a_job(idempotency_key="k")) for ledger in ledgers]
    assert [ledger.replay() for ledger in ledgers] == [2, 2]
    assert (count(url, "jobs"), count(url, "idempotency_keys")) == (2, 1)
    assert ledgers[0].claim(a_job(idempotency_key="k")).job_id == claims[0].job_id


def test_a_row_that_no_database_takes_is_set_aside_and_holds_up_no_other(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    good, bad = a_job(), a_job()
    ledger.stages_timed([a_stage(bad.job_id, items=1 << 70)])
    with outage(url):
        ledger.record(good)
    assert ledger.replay() == 1
    assert ledger.job(good.job_id) is not None
    refused = (tmp_path / "spool" / "refused.lines").read_bytes()
    assert str(bad.job_id).encode() in refused
    assert ledger.replay() == 0


def test_a_line_that_is_no_row_is_set_aside(ledger: Ledger, tmp_path: Path) -> None:
    job = a_job()
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "other.jsonl").write_bytes(b'{"table": "jobs"}\nnonsense\n' + row_to_line(job) + b"\n")
    assert ledger.replay() == 1
    assert (tmp_path / "spool" / "refused.lines").read_bytes() == b'{"table": "jobs"}\nnonsense\n'


def test_nothing_is_raised_when_neither_database_nor_spool_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    ledger = Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite'}", tmp_path / "file" / "spool")
    job = a_job()
    ledger.record(job)
    assert str(job.job_id) in caplog.text


def test_an_outage_leaves_no_password_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger("postgresql://someone:verysecret@127.0.0.1:9/ledger", tmp_path / "spool")
    ledger.record(a_job())
    assert "the ledger is down" in caplog.text
    assert "verysecret" not in caplog.text


def test_a_row_survives_its_line() -> None:
    job = a_job(created_at=NOW, idempotency_key="ключ")
    stage = a_stage(job.job_id, bytes=1)
    assert [row_from_line(row_to_line(row)) for row in (job, stage)] == [job, stage]


def test_a_moment_without_a_zone_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(a_job(created_at=NOW.replace(tzinfo=None)))
    assert ledger.replay() == 0
    assert (tmp_path / "spool" / "refused.lines").exists()


def test_no_secret_of_an_address_is_kept_in_the_ledger_or_the_spool(ledger: Ledger, url: str, tmp_path: Path) -> None:
    job = a_job(
        idempotency_key="k",
        video_url="https://someone:topsecret@host/face.mp4?X-Amz-Signature=topsecret",
        audio_url="s3://in/speech.wav",
        output_url="talks/why?.mp4",
    )
    with outage(url):
        ledger.claim(job)
        ledger.job_started(job)
    [spooled] = (tmp_path / "spool").glob("*.jsonl")
    assert b"topsecret" not in spooled.read_bytes()
    ledger.replay()
    found = ledger.job(job.job_id)
    assert found is not None
    assert found.video_url == "https://host/face.mp4"
    assert (found.audio_url, found.output_url) == (job.audio_url, job.output_url)


def test_a_database_that_accepts_and_never_answers_costs_a_job_one_short_wait(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/ledger"
        ledger = Ledger(address, tmp_path / "spool")
        for _ in range(20):
            ledger.record(a_job())
        server.settimeout(0)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was asked once
            server.accept()
    [spooled] = (tmp_path / "spool").glob("*.jsonl")
    assert len(spooled.read_bytes().splitlines()) == 20


def backends(url: str) -> set[int]:
    """The process ids of PostgreSQL's backends that serve ledgers at `url`."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with open_engine(url).connect() as connection:
        return set(connection.exec_driver_sql(query).scalars())


def wait_until_gone(url: str) -> None:
    """Until no backend serves a ledger: PostgreSQL ends one a moment after its connection."""
    until_s = time.monotonic() + LIMIT_S
    while backends(url):
        assert time.monotonic() < until_s, "the connection is still open"
        time.sleep(0.02)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with fresh_database("postgresql", Path()) as address:
        upgrade(address)
        yield address


def test_a_ledger_keeps_one_connection_until_it_is_released(postgres_url: str, tmp_path: Path) -> None:
    ledger = Ledger(postgres_url, tmp_path / "spool")
    ledger.record(a_job())
    first = backends(postgres_url)
    ledger.record(a_job())
    assert len(first) == 1
    assert backends(postgres_url) == first
    ledger.release()
    wait_until_gone(postgres_url)
    ledger.record(a_job())
    assert count(postgres_url, "jobs") == 3


def test_a_connection_that_the_server_has_ended_costs_no_row(postgres_url: str, tmp_path: Path) -> None:
    ledger = Ledger(postgres_url, tmp_path / "spool")
    ledger.record(a_job())
    (backend,) = backends(postgres_url)
    with open_engine(postgres_url).connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({backend})")
    ledger.record(a_job())
    assert count(postgres_url, "jobs") == 2
    assert not list((tmp_path / "spool").rglob("*.jsonl"))
