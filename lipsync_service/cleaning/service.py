"""Cleans a whole service: its storage, its ledger, and the host that this runs on."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from lipsync_service.callbacks.deliveries import KEPT
from lipsync_service.cleaning.collector import Cleaned, Collector
from lipsync_service.cleaning.holders import read_holders
from lipsync_service.cleaning.host import clean_host
from lipsync_service.client.prefect_api import open_api
from lipsync_service.ledger.database import sqlite_path
from lipsync_service.ledger.pruning import LedgerPruner
from lipsync_service.settings import Settings
from lipsync_service.storage.shelf import shelf_of

SCHEMA: Final = "lipsync.gc/1"
CALLBACKS, JOBS = "callbacks in the ledger", "jobs in the ledger"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What one call has removed, or would remove."""

    is_dry: bool
    kinds: tuple[Cleaned, ...]

    @property
    def removed_bytes(self) -> int:
        """Of all kinds."""
        return sum(each.removed_bytes for each in self.kinds)

    @property
    def removed(self) -> int:
        """The number of things, rows of the ledger included."""
        return sum(each.removed for each in self.kinds)

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        totals = {"removed": self.removed, "removed_bytes": self.removed_bytes}
        return {"schema": SCHEMA, "dry_run": self.is_dry, **totals, "kinds": [asdict(each) for each in self.kinds]}


def clean(settings: Settings, is_dry: bool) -> Cleaning:
    """Remove all whose time is over; in a dry run only say so.

    Prefect's own database is not touched: its server removes old runs itself (`lipsync_service/deploy/retention.py`).

    Raises:
        ServiceDownError: Prefect does not answer, so nobody knows what is in use; nothing is removed then.
        StorageError, TransientError: the storage refuses, or does not answer.
        LedgerUnavailableError: the ledger's database is down; the storage has been cleaned.
    """
    with open_api(settings) as api:
        holders = partial(read_holders, api, settings.storage_url)
        kinds = Collector(shelf_of(settings), settings, holders, _now).collect(is_dry)
    return Cleaning(is_dry, (*kinds, *_clean_ledger(settings, is_dry), *clean_host(settings, is_dry)))


def _clean_ledger(settings: Settings, is_dry: bool) -> list[Cleaned]:
    path = sqlite_path(settings.database_url.get_secret_value())
    if path is not None and not path.is_file():  # this caller does not know the service's ledger
        return []
    pruner = LedgerPruner(settings.database_url.get_secret_value())
    pruned = {CALLBACKS: pruner.callbacks(_now() - KEPT, is_dry)}
    if settings.keep_ledger_days is not None:
        pruned[JOBS] = pruner.jobs(_now() - timedelta(days=settings.keep_ledger_days), is_dry)
    return [Cleaned(kind, removed=each.removed, kept=each.left) for kind, each in pruned.items()]


def _now() -> datetime:
    return datetime.now(UTC)
