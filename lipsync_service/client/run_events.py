"""Prefect's stream of events, as far as a waiting caller needs it: runs that began or ended.

One websocket takes the place of a question each half second. The stream only says when to ask: where it breaks, or the
server refuses it, a caller asks at its own pace, and nothing is lost. Needs no Prefect SDK.

The protocol is that of Prefect's server 3.8.8, `prefect/server/api/events.py`: subprotocol "prefect", a message of type
`auth`, one of type `filter`, then messages of type `event`.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from websockets import Subprotocol
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

_RUN: Final = "prefect.flow-run."
_MOST_IDS = 100  # in one filter; of more runs, the events of all runs of the flow are taken
_OPEN_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0  # before a broken stream is opened again
_FOR_EVER: Final = timedelta(days=3650)  # the filter wants an end; the stream's is that of its connection

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventSource:
    """Where the events come from, and which of them are wanted."""

    api_url: str  # of Prefect's API
    token: str | None  # NAME:PASSWORD, where the server asks for it
    flow: str  # the runs' flow, by name
    run_ids: Collection[UUID] | None  # None: all runs of the flow
    state_types: Collection[str]  # such as RUNNING or COMPLETED

    @property
    def stream_url(self) -> str:
        """The websocket's address."""
        parts = urlsplit(f"{self.api_url.rstrip('/')}/events/out")
        return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))

    def filter(self) -> Mapping[str, Any]:
        """The server's filter (`prefect.server.events.filters.EventFilter`)."""
        runs: dict[str, Any] = {"labels": {"prefect.state-type": sorted(self.state_types)}}
        if self.run_ids is not None and len(self.run_ids) <= _MOST_IDS:
            runs["id"] = sorted(f"{_RUN}{run_id}" for run_id in self.run_ids)
        now = datetime.now(UTC)
        return {
            "occurred": {"since": now.isoformat(), "until": (now + _FOR_EVER).isoformat()},
            "event": {"prefix": [_RUN]},
            "resource": runs,
        }


@dataclass(frozen=True, slots=True)
class Heard:
    """A state of a run that was heard of. The server tells of it a moment before it answers with it."""

    state_type: str
    at_s: float  # time.monotonic()


class RunEvents:
    """A subscription, read by a thread of its own until `close`."""

    def __init__(self, source: EventSource) -> None:
        self._source = source
        self._heard: dict[UUID, Heard] = {}
        self._news = threading.Event()
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self.is_open = False  # the server sends events; otherwise the caller has to ask
        self._thread = threading.Thread(target=self._listen, name="run events", daemon=True)
        self._thread.start()

    def wait(self, limit_s: float) -> bool:
        """Wait for news, `limit_s` at most; returns whether there are any. A stream that has just opened is news."""
        has_news = self._news.wait(limit_s)
        self._news.clear()
        return has_news

    def newest(self, run_id: UUID) -> Heard | None:
        """The run's newest state that was heard of."""
        return self._heard.get(run_id)

    def close(self) -> None:
        """End the subscription."""
        self._stop.set()
        if self._connection is not None:
            self._connection.close()
        self._thread.join(_OPEN_S)

    def _listen(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                with self._opened() as connection:
                    pause_s = _FIRST_PAUSE_S
                    for message in connection:
                        self._hear(json.loads(message))
            except (OSError, ValueError, KeyError, WebSocketException) as exc:  # TimeoutError is an OSError
                _log.debug("no events from %s: %s", self._source.stream_url, exc)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Connection]:
        url, token = self._source.stream_url, self._source.token
        kind = [Subprotocol("prefect")]
        with connect(url, subprotocols=kind, proxy=None, open_timeout=_OPEN_S, close_timeout=1) as connection:
            connection.send(json.dumps({"type": "auth", "token": token}))
            if json.loads(connection.recv(_OPEN_S))["type"] != "auth_success":
                raise PermissionError("the server refuses the credentials")
            connection.send(json.dumps({"type": "filter", "filter": self._source.filter(), "backfill": False}))
            self._connection, self.is_open = connection, True
            self._news.set()  # something may have happened before
            try:
                if self._stop.is_set():  # `close` came before there was a connection to close
                    connection.close()
                yield connection
            finally:
                self._connection, self.is_open = None, False

    def _hear(self, message: Mapping[str, Any]) -> None:
        resource, related = message["event"]["resource"], message["event"]["related"]
        run_id = UUID(resource["prefect.resource.id"].removeprefix(_RUN))
        flows = [each["prefect.resource.name"] for each in related if each["prefect.resource.role"] == "flow"]
        is_wanted = self._source.run_ids is None or run_id in self._source.run_ids
        if is_wanted and self._source.flow in flows:
            self._heard[run_id] = Heard(resource["prefect.state-type"], time.monotonic())
            self._news.set()
