"""The stream of events: heard, opened again after a break, and no need for it where the server refuses it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("websockets", reason="the extra service is not installed")

from websockets.sync.server import Server, ServerConnection, serve

from lipsync_service.client.run_events import EventSource, RunEvents

LIMIT_S = 20.0
JOB = uuid4()


class StreamStandIn:
    """Speaks the protocol of Prefect's stream of events with one client at a time."""

    def __init__(self) -> None:
        self.filters: list[dict[str, Any]] = []
        self.token: str | None = None
        self.connections = 0
        self.is_slow = threading.Event()  # set: it does not answer yet
        self._client: ServerConnection | None = None
        self._connected = threading.Condition()
        self.server: Server = serve(self._handle, "127.0.0.1", 0, subprotocols=["prefect"])  # type: ignore[list-item]

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.server.socket.getsockname()[1]}/api"

    def tell(self, run_id: UUID, state_type: str, flow: str = "lipsync") -> None:
        resource = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.state-type": state_type}
        related = [{"prefect.resource.role": "flow", "prefect.resource.name": flow}]
        self.client().send(json.dumps({"type": "event", "event": {"resource": resource, "related": related}}))

    def client(self, number: int = 1) -> ServerConnection:
        """The present connection, once this many have been opened."""

        def is_there() -> bool:
            return self._client is not None and self.connections >= number

        with self._connected:
            assert self._connected.wait_for(is_there, LIMIT_S)
            assert self._client is not None
            return self._client

    def _handle(self, client: ServerConnection) -> None:
        with self._connected:
            self.connections += 1
            self._client = None
        while self.is_slow.is_set():
            time.sleep(0.01)
        if json.loads(client.recv())["token"] != self.token:
            client.send(json.dumps({"type": "auth_failure"}))
            return
        client.send(json.dumps({"type": "auth_success"}))
        self.filters.append(json.loads(client.recv())["filter"])
        with self._connected:
            self._client = client
            self._connected.notify_all()
        for _ in client:  # until it is closed
            pass
        with self._connected:
            if self._client is client:
                self._client = None


@pytest.fixture
def stream() -> Iterator[StreamStandIn]:
    stand_in = StreamStandIn()
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    thread.join()


def source(stream: StreamStandIn, token: str | None = None) -> EventSource:
    return EventSource(stream.api_url, token, "lipsync", [JOB], ["COMPLETED"])


def heard_of(events: RunEvents, state_type: str) -> bool:
    """Wait for this state of the job."""
    while (newest := events.newest(JOB)) is None or newest.state_type != state_type:
        if not events.wait(LIMIT_S):
            return False
    return True


def test_a_subscriber_hears_of_its_runs_and_of_no_others(stream: StreamStandIn) -> None:
    other = uuid4()
    with closing(RunEvents(source(stream))) as events:
        stream.tell(other, "COMPLETED")
        stream.tell(JOB, "COMPLETED", flow="lipsync-gpu")
        stream.tell(JOB, "RUNNING")
        assert heard_of(events, "RUNNING")
        assert events.newest(other) is None
    [wanted] = stream.filters
    assert wanted["resource"]["id"] == [f"prefect.flow-run.{JOB}"]
    assert wanted["resource"]["labels"] == {"prefect.state-type": ["COMPLETED"]}


def test_a_subscription_that_is_closed_while_it_opens_ends_at_once(stream: StreamStandIn) -> None:
    stream.is_slow.set()
    events = RunEvents(source(stream))
    while not stream.connections:
        events.wait(0.01)
    closing_it = threading.Thread(target=events.close)
    closing_it.start()
    stream.is_slow.clear()
    closing_it.join(LIMIT_S)
    assert not closing_it.is_alive()
    assert "run events" not in {thread.name for thread in threading.enumerate()}


def test_a_broken_stream_is_opened_again_and_that_is_news(stream: StreamStandIn) -> None:
    with closing(RunEvents(source(stream))) as events:
        stream.tell(JOB, "RUNNING")
        assert heard_of(events, "RUNNING")
        stream.client().close()
        stream.client(number=2)
        assert events.wait(LIMIT_S)  # whatever happened meanwhile was not told of: it is time to ask
        stream.tell(JOB, "COMPLETED")
        assert heard_of(events, "COMPLETED")
    assert stream.connections == 2


def test_a_subscription_is_not_open_when_the_server_refuses_the_credentials(stream: StreamStandIn) -> None:
    stream.token = "admin:right"
    with closing(RunEvents(source(stream, "admin:wrong"))) as events:
        assert not events.wait(1.5)
        assert not events.is_open
    with closing(RunEvents(source(stream, "admin:right"))) as events:
        assert events.wait(LIMIT_S)
        assert events.is_open
