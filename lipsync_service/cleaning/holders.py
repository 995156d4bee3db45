"""The files that jobs hold which have not ended, whatever keeps them from it: the queue, a pause, a lost worker."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lipsync_core.errors import TransientError
from lipsync_service.client.prefect_api import FlowRun, PrefectApi, RunQuery
from lipsync_service.errors import UrlRefusedError
from lipsync_service.names import BULK_FLOW, JOB_FLOW, JOB_FLOWS
from lipsync_service.storage.url import parse_url

_FLOWS = (*JOB_FLOWS, BULK_FLOW)
_UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
#: The watcher starts a crashed job again, also after it was away itself for as long.
_CRASHED_FOR = timedelta(days=1)
_PAGE = 200
#: Run ids, and hashes of contents and requests. A file that has one of a run's in its name belongs to that run.
_WORD: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,64}")


@dataclass(frozen=True, slots=True)
class Holders:
    """The unfinished runs, as far as the storage is concerned."""

    names: frozenset[str]  # of the files in the storage that they name
    words: frozenset[str]  # their ids, and the ids and hashes in their parameters
    since: datetime | None  # the start of the longest at work; what was used since then may be theirs

    def hold(self, name: str) -> bool:
        """Whether a run names this file."""
        return name in self.names or not self.words.isdisjoint(_WORD.findall(name))


def read_holders(api: PrefectApi, storage_url: str, now: datetime) -> Holders:
    """The unfinished runs of all flows, and those that have crashed and may start again.

    Raises:
        ServiceDownError: Prefect does not answer, so nobody knows what is in use.
    """
    runs = [run for flow in _FLOWS for run in _unfinished(api, flow)]
    crashed = api.runs(RunQuery(JOB_FLOW, ("CRASHED",), ended_after=now - _CRASHED_FOR, limit=1_000_000))
    texts = [text for run in (*runs, *crashed) for text in (str(run.id), *_texts(run.parameters))]
    return Holders(
        frozenset(name for text in texts for name in _name_below(storage_url, text)),
        frozenset(word for text in texts for word in _WORD.findall(text)),
        min((run.started_at for run in runs if run.started_at), default=None),
    )


def _unfinished(api: PrefectApi, flow: str) -> Iterator[FlowRun]:
    """Page by page from the latest due to the first, by time: by number, a run that ends would hide another.

    Raises:
        TransientError: a page's runs are all due at one moment, so that the next one would be the same.
    """
    seen: set[object] = set()
    until: datetime | None = None
    while True:
        page = api.runs(RunQuery(flow, _UNFINISHED, due_until=until, limit=_PAGE))
        new = [run for run in page if run.id not in seen]
        seen |= {run.id for run in new}
        yield from new
        if len(page) < _PAGE:
            return
        if not new or page[-1].due_at is None:
            raise TransientError(f"{_PAGE} runs of {flow} are due at one moment", "try again when some have ended")
        until = page[-1].due_at


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _name_below(storage_url: str, text: str) -> Iterator[str]:
    """The name in the storage, where the text is an address below it."""
    if "://" not in text:
        return
    try:
        given, storage = parse_url(text), parse_url(f"{storage_url}/contents")
    except UrlRefusedError:
        return
    folder = storage.path.removesuffix("contents")
    if (given.scheme, given.host) == (storage.scheme, storage.host) and given.path.startswith(folder):
        yield given.path.removeprefix(folder)
