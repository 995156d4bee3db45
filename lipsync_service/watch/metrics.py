"""The watcher's page for Prometheus: figures of the whole service, computed at each request."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lipsync_core.errors import LipSyncError
from lipsync_service.ledger.figures import BUCKETS_S, LedgerFigures, StageFigures, ledger_figures
from lipsync_service.names import CPU_POOL, GPU_POOL
from lipsync_service.watch.service_api import WatchedApi

_log = logging.getLogger(__name__)
_BOUNDS = (*map(str, BUCKETS_S), "+Inf")


class ServiceCollector(Collector):
    """Asks the ledger and Prefect at each scrape. `lipsync_up` is 0 for a part that is down; its figures are absent."""

    def __init__(self, database_url: str, api: WatchedApi, last_round: Callable[[], datetime | None]) -> None:
        self._database_url = database_url
        self._api = api
        self._last_round = last_round

    def collect(self) -> Iterable[Metric]:
        """All figures; raises nothing."""
        is_up = GaugeMetricFamily("lipsync_up", "Whether this part of the service answers.", labels=["part"])
        for part, read in (("ledger", self._of_ledger), ("prefect", self._of_queues)):
            try:
                families = list(read())
            except LipSyncError as error:
                _log.warning("no figures of the %s: %s", part, error.code)
                families = []
                is_up.add_metric([part], 0)
            else:
                is_up.add_metric([part], 1)
            yield from families
        yield is_up
        last_round = self._last_round()
        if last_round is not None:
            help_ = "When the watcher last looked at all jobs."
            yield GaugeMetricFamily("lipsync_watch_last_round_timestamp_seconds", help_, last_round.timestamp())

    def _of_ledger(self) -> Iterator[Metric]:
        figures = ledger_figures(self._database_url)
        jobs = GaugeMetricFamily("lipsync_jobs", "Jobs in the ledger.", labels=["state", "model"])
        for state, model, count in figures.jobs:
            jobs.add_metric([state, model], count)
        failures = GaugeMetricFamily("lipsync_failed_jobs", "Failed jobs in the ledger.", labels=["code"])
        for code, count in figures.failures:
            failures.add_metric([code], count)
        frames = CounterMetricFamily("lipsync_frames", "Output frames by outcome.", labels=["outcome"])
        for outcome, count in figures.frames:
            frames.add_metric([outcome], count)
        yield from (jobs, failures, frames)
        yield from _of_stages(figures.stages)
        yield from _of_callbacks(figures)

    def _of_queues(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        waiting, running, oldest = (
            GaugeMetricFamily(name, help_, labels=["pool", "queue"])
            for name, help_ in (
                ("lipsync_queue_waiting_runs", "Runs that are due and that no worker has begun."),
                ("lipsync_queue_running_runs", "Runs at work."),
                ("lipsync_queue_oldest_wait_seconds", "How long the run has been due that waits longest."),
            )
        )
        for where in [queue for pool in (CPU_POOL, GPU_POOL) for queue in self._api.queues(pool)]:
            labels = [where.pool, where.queue]
            waiting.add_metric(labels, self._api.count(where, ("SCHEDULED", "PENDING"), due_before=now))
            running.add_metric(labels, self._api.count(where, ("RUNNING", "CANCELLING")))
            due = self._api.oldest_due(where, now)
            oldest.add_metric(labels, (now - due).total_seconds() if due else 0.0)
        yield from (waiting, running, oldest)


def serve_metrics(collector: ServiceCollector, host: str, port: int) -> None:
    """Serve /metrics in a thread of its own, until the process ends. Raises OSError where the port is taken."""
    registry = CollectorRegistry()
    registry.register(collector)
    start_http_server(port, host, registry)


def _of_stages(stages: Iterable[StageFigures]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "lipsync_stage_seconds", "Wall time of a job's stages, runs from a cache not counted.", labels=["stage"]
    )
    cached = CounterMetricFamily("lipsync_stage_cached_runs", "Stages taken from a cache.", labels=["stage"])
    for stage in stages:
        seconds.add_metric([stage.stage], list(zip(_BOUNDS, (*stage.at_most, stage.count), strict=True)), stage.sum_s)
        cached.add_metric([stage.stage], stage.cached)
    yield from (seconds, cached)


def _of_callbacks(figures: LedgerFigures) -> Iterator[Metric]:
    callbacks = GaugeMetricFamily("lipsync_callbacks", "Callbacks by state.", labels=["state"])
    for state, count in figures.callbacks:
        callbacks.add_metric([state], count)
    yield callbacks
    oldest = figures.oldest_callback
    wait_s = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    yield GaugeMetricFamily("lipsync_callbacks_oldest_wait_seconds", "Age of the oldest pending callback.", wait_s)
