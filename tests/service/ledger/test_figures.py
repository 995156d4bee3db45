"""Figures for Prometheus, on both databases: right after any restart, and still served while a part is down."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.ledger_databases import KINDS, fresh_database  # skips all below without the extra

# isort: split
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lipsync_core.report import FrameCounts
from lipsync_service.callbacks.deliveries import Deliveries
from lipsync_service.callbacks.sender import JobOutcome, Reply
from lipsync_service.errors import LedgerUnavailableError
from lipsync_service.ledger.database import upgrade
from lipsync_service.ledger.figures import BUCKETS_S, ledger_figures
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobRow, JobState, StageRow
from lipsync_service.watch.metrics import ServiceCollector
from lipsync_service.watch.service_api import open_watched_api

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


@pytest.fixture
def scrape(settings: Callable[..., Any]) -> Iterator[Callable[[str], Samples]]:
    """The metrics by name and labels (in alphabetical order); no server listens at Prefect's address."""
    with open_watched_api(settings(api_url="http://127.0.0.1:9/api"), 2.0) as api:

        def read(url: str) -> Samples:
            registry = CollectorRegistry()
            registry.register(ServiceCollector(url, api, lambda: NOW))
            families = text_string_to_metric_families(generate_latest(registry).decode())
            return {(each.name, tuple(each.labels.values())): each.value for one in families for each in one.samples}

        yield read


def fill(url: str, spool: Path) -> None:
    """Two jobs done, one failed and one that waits; four runs of a stage, one of them from the cache."""
    ledger = Ledger(url, spool)
    for number, wall_s in enumerate((0.2, 0.3, 4.0)):
        job = JobRow(uuid4(), 1, JobState.COMPLETED, model="viseme/1")
        if number == 2:
            job = replace(job, state=JobState.FAILED, error_code="NO_FACE", model=None)
        ledger.job_finished(job, FrameCounts(10, 2, 1))
        stage = StageRow(job.job_id, 1, "track", wall_s=wall_s, cpu_s=wall_s, finished_at=NOW)
        ledger.stages_timed([stage, replace(stage, stage="read", part_of="track")])
    ledger.record(waiting := JobRow(uuid4(), 1, JobState.ACCEPTED))
    ledger.stages_timed([StageRow(waiting.job_id, 1, "track", wall_s=0.01, cpu_s=0, finished_at=NOW, was_cached=True)])
    deliveries = Deliveries(url)
    outcomes = [JobOutcome(uuid4(), 1, JobState.COMPLETED, NOW, NOW) for _ in range(3)]
    for number, end in enumerate(outcomes):
        deliveries.add([end], datetime.now(UTC) - timedelta(seconds=100 - number))
    for delivery, reply in zip(
        deliveries.due(datetime.now(UTC), 2), (Reply(status=200), Reply(status=410)), strict=True
    ):
        claimed = deliveries.claim(delivery, datetime.now(UTC))
        assert claimed is not None
        deliveries.record(claimed, reply, datetime.now(UTC))


def test_the_page_tells_of_jobs_stages_frames_and_callbacks(
    url: str, scrape: Callable[[str], Samples], tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    fill(url, tmp_path / "spool")
    found = scrape(url)
    most_s = 98 + (datetime.now(UTC) - began).total_seconds()
    assert found["lipsync_up", ("ledger",)] == 1
    assert found["lipsync_jobs", ("viseme/1", "completed")] == 2
    assert found["lipsync_jobs", ("unknown", "failed")] == 1
    assert found["lipsync_jobs", ("unknown", "accepted")] == 1
    assert found["lipsync_failed_jobs", ("NO_FACE",)] == 1
    assert found["lipsync_frames_total", ("synced",)] == 30
    assert found["lipsync_frames_total", ("passed_no_face",)] == 6
    assert found["lipsync_stage_seconds_count", ("track",)] == 3
    assert found["lipsync_stage_seconds_sum", ("track",)] == pytest.approx(4.5)
    buckets = {labels[0]: count for (name, labels), count in found.items() if name == "lipsync_stage_seconds_bucket"}
    assert (buckets["0.1"], buckets["0.25"], buckets["2.5"], buckets["5.0"], buckets["+Inf"]) == (0, 1, 2, 3, 3)
    assert len(buckets) == len(BUCKETS_S) + 1
    assert found["lipsync_stage_cached_runs_total", ("track",)] == 1
    assert [found["lipsync_callbacks", (state,)] for state in ("pending", "delivered", "given_up")] == [1, 1, 1]
    assert 98 <= found["lipsync_callbacks_oldest_wait_seconds", ()] <= most_s
    assert found["lipsync_watch_last_round_timestamp_seconds", ()] == NOW.timestamp()


def test_the_page_is_served_when_both_parts_are_down(scrape: Callable[[str], Samples], tmp_path: Path) -> None:
    found = scrape(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert found["lipsync_up", ("ledger",)] == found["lipsync_up", ("prefect",)] == 0
    assert not any(name.startswith(("lipsync_jobs", "lipsync_queue")) for name, _ in found)


def test_an_empty_ledger_has_figures_too_and_one_without_tables_has_none(url: str, tmp_path: Path) -> None:
    figures = ledger_figures(url)
    assert (figures.jobs, figures.stages, figures.oldest_callback) == ((), (), None)
    assert dict(figures.callbacks) == {"pending": 0, "delivered": 0, "given_up": 0}
    with pytest.raises(LedgerUnavailableError):
        ledger_figures(f"sqlite:///{tmp_path / 'empty.sqlite'}")
