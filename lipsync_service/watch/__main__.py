"""The watcher: `python -m lipsync_service.watch` runs until it is stopped.

It reads the same settings as the workers (LIPSYNC_DATABASE_URL, LIPSYNC_API_URL, LIPSYNC_CALLBACK_SECRET ...) and keeps
no data of its own. It may be stopped and started at any time, and several may run.
"""

import logging
import signal
import sys

import click

from lipsync_core.errors import LipSyncError
from lipsync_service.callbacks.deliveries import Deliveries
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.settings import Settings, load_settings
from lipsync_service.watch.metrics import ServiceCollector, serve_metrics
from lipsync_service.watch.service_api import open_watched_api
from lipsync_service.watch.watcher import WatchedService, Watcher

_log = logging.getLogger("lipsync_service.watch")
_CALL_S = 20.0  # limit of one call of Prefect's API
_SCRAPE_CALL_S = 4.0  # the same while a collector waits, which gives up after ten seconds


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Report ended jobs to their callers, restart jobs whose worker vanished, and serve figures."""
    if context.invoked_subcommand is None:
        watch(load_settings())


def watch(settings: Settings) -> None:
    """Run the watcher until SIGTERM or SIGINT.

    Raises:
        OptionError: a setting cannot be used.
        OSError: the port of the figures is taken.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would name every call
    if settings.callback_secret is None:
        _log.warning("LIPSYNC_CALLBACK_SECRET is not set: no callback is sent, each is recorded as undeliverable")
    url = settings.database_url.get_secret_value()
    with open_watched_api(settings, _CALL_S) as api, open_watched_api(settings, _SCRAPE_CALL_S) as scraped:
        watcher = Watcher(settings, WatchedService(api, Deliveries(url), Ledger(url, settings.spool_dir)))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: watcher.stop())
        collector = ServiceCollector(url, scraped, lambda: watcher.last_round_at)
        serve_metrics(collector, settings.metrics_host, settings.metrics_port)
        _log.info("watching; figures at http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)
        watcher.run()


if __name__ == "__main__":
    try:
        main()
    except LipSyncError as error:
        click.echo(f"lipsync: error {error.code}: {error}", err=True)
        sys.exit(error.exit_status)
