"""Callbacks on both databases: signed, tried again with the same id, given up after an hour, refused by the rules."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.ledger_databases import KINDS, fresh_database, sqlalchemy  # skips all below without the extra
from tests.receiver import Receiver, is_signed
from tests.web import serving

# isort: split
from lipsync_core.errors import OptionError
from lipsync_service.callbacks.courier import Courier
from lipsync_service.callbacks.deliveries import KEPT, Deliveries, Delivery
from lipsync_service.callbacks.sender import (
    CallbackSender,
    JobOutcome,
    Letter,
    Reply,
    callback_body,
    next_try,
    signature,
)
from lipsync_service.errors import LedgerUnavailableError, ServiceDownError
from lipsync_service.ledger.database import open_engine, upgrade
from lipsync_service.ledger.rows import JobState
from lipsync_service.ledger.tables import CallbackDelivery
from lipsync_service.result_facts import ResultFacts

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        upgrade(address)
        yield address


@pytest.fixture
def deliveries(url: str) -> Deliveries:
    return Deliveries(url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    with serving(server):
        yield server
        server.released.set()


@pytest.fixture
def sender(settings: Callable[..., Any], receiver: Receiver) -> CallbackSender:
    """A sender that may reach the receiver."""
    return CallbackSender(settings(callback_secret=SECRET, http_allowed_hosts=(receiver.host,)))


def an_end(**facts: Any) -> JobOutcome:
    return replace(JobOutcome(uuid4(), 1, JobState.COMPLETED, created_at=NOW, ended_at=NOW), **facts)


def to(address: str, end: JobOutcome | None = None) -> Callable[[Delivery], Letter]:
    """A letter for every delivery, to `address`."""
    return lambda delivery: Letter(delivery.event_id, address, callback_body(end or an_end(), None, {}))


def row(url: str, event_id: UUID) -> Any:
    with open_engine(url).connect() as connection:
        query = sqlalchemy.text("SELECT * FROM callback_deliveries WHERE event_id = :id")
        key = event_id.hex if url.startswith("sqlite") else event_id
        return connection.execute(query, {"id": key}).one()


def test_the_signature_is_the_one_that_the_standard_gives_as_its_example() -> None:
    body = b'{"test": 2432232314}'
    found = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_fails_when_it_is_announced_as_base64_and_is_not(settings: Callable[..., Any]) -> None:
    with pytest.raises(OptionError, match="base64") as caught:
        CallbackSender(settings(callback_secret="whsec_not/base64?!"))
    assert "not/base64" not in str(caught.value)


def test_the_event_id_stays_and_each_attempt_and_state_has_its_own() -> None:
    end = an_end()
    assert end.event_id == replace(end, ended_at=NOW + timedelta(hours=1)).event_id
    others = (replace(end, attempt=2), replace(end, state=JobState.FAILED), replace(end, job_id=uuid4()))
    assert len({each.event_id for each in (end, *others)}) == 4


def test_tries_go_on_for_an_hour_at_growing_distances() -> None:
    def moments(jitter: float) -> list[float]:
        found, now = [], NOW
        for tries in range(1, 100):
            later = next_try(NOW, now, tries, lambda: jitter)
            if later is None:
                break
            found.append((later - now).total_seconds())
            now = later
        return found

    assert moments(0.5)[:9] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert moments(0.0)[:3] == [4, 8, 16]
    assert moments(1.0)[:3] == [6, 12, 24]
    for jitter in (0.0, 0.5, 1.0):
        assert 3600 - 720 <= sum(moments(jitter)) <= 3600


def test_a_callback_carries_what_is_known_of_the_result() -> None:
    facts = ResultFacts(warnings="FACE_SMALL", score="0.94 by its own curves", sync_score=0.94, signer="Studio")
    told, untold = (json.loads(callback_body(an_end(), None, {}, *given)) for given in ((facts,), ()))
    assert {name: told[name] for name in facts.as_json()} == facts.as_json()
    assert told["score"]["score"] == 0.94
    assert (untold["warnings"], untold["score"], untold["provenance"]) == (None, None, None)


def test_a_callback_arrives_signed_and_is_tried_again_with_the_same_id(
    deliveries: Deliveries, url: str, sender: CallbackSender, receiver: Receiver
) -> None:
    clock, end = Clock(), an_end(state=JobState.FAILED, error_code="NO_FACE", error_message="there is no face")
    receiver.answers = [500, 302]
    deliveries.add([end], clock())
    deliveries.add([end], clock())
    courier = Courier(deliveries, sender, to(receiver.url("/hook?key=1"), end), clock)
    begun = []
    for later_s in (0, 3, 10, 30, 60):  # the second is too soon, the last too late
        clock.now = NOW + timedelta(seconds=later_s)
        begun.append(courier.dispatch())
        courier.wait()
    assert begun == [1, 0, 1, 1, 0]
    assert [told.path for told in receiver.told] == ["/hook?key=1"] * 3  # the redirect is not followed
    assert {told.headers["webhook-id"] for told in receiver.told} == {str(end.event_id)}
    for told in receiver.told:
        assert is_signed(told, SECRET)
        assert not is_signed(told, "another secret")
        assert not is_signed(replace(told, body=told.body + b" "), SECRET)
    assert receiver.told[0].event["error"] == {"code": "NO_FACE", "message": "there is no face"}
    found = row(url, end.event_id)
    assert (found.tries, found.next_at, found.last_status, found.given_up_at) == (3, None, 204, None)
    assert found.delivered_at is not None
    courier.close()


def test_a_callback_is_given_up_after_an_hour(
    deliveries: Deliveries, url: str, sender: CallbackSender, receiver: Receiver
) -> None:
    clock, end = Clock(), an_end()
    receiver.answers = [503] * 100
    deliveries.add([end], clock())
    courier = Courier(deliveries, sender, to(receiver.url()), clock)
    for minute in range(120):
        clock.now = NOW + timedelta(minutes=minute)
        courier.dispatch()
        courier.wait()
    found = row(url, end.event_id)
    assert found.given_up_at is not None
    assert found.delivered_at is None
    assert found.last_status == 503
    assert 8 <= found.tries == len(receiver.told) <= 14
    courier.close()


@pytest.mark.parametrize("fault", ["gone", "not allowed", "no address", "no secret", "password", "nobody listens"])
def test_a_callback_fails_for_good_or_waits_as_its_fault_says(
    fault: str, deliveries: Deliveries, url: str, settings: Callable[..., Any], receiver: Receiver
) -> None:
    clock, end = Clock(), an_end()
    facts: dict[str, Any] = {"callback_secret": SECRET, "http_allowed_hosts": ("127.0.0.1",)}
    write: Any = to(receiver.url())
    expected: tuple[int | None, str | None, bool] = (None, "URL_REFUSED", True)
    match fault:
        case "gone":
            receiver.answers, expected = [410], (410, None, True)
        case "not allowed":
            facts["http_allowed_hosts"] = ()
        case "no address":
            write, expected = (lambda _: None), (None, "NO_ADDRESS", True)
        case "no secret":
            facts["callback_secret"], expected = None, (None, "NO_SECRET", True)
        case "password":
            write = to(receiver.url().replace("http://", "http://user:secret@"))
        case "nobody listens":
            receiver.server_close()
            expected = (None, "TRANSIENT", False)
    deliveries.add([end], clock())
    courier = Courier(deliveries, CallbackSender(settings(**facts)), write, clock)
    courier.dispatch()
    courier.wait()
    found = row(url, end.event_id)
    assert (found.last_status, found.last_error, found.given_up_at is not None) == expected
    assert (found.next_at is None) == expected[2]
    assert len(receiver.told) == (fault == "gone")
    courier.close()


def test_no_log_and_no_repr_tells_the_address(
    deliveries: Deliveries, sender: CallbackSender, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    clock = Clock()
    receiver.answers = [500]
    deliveries.add([an_end()], clock())
    courier = Courier(deliveries, sender, to(receiver.url("/services/T0/secret")), clock)
    courier.dispatch()
    courier.wait()
    assert receiver.told
    assert "try 1): 500" in caplog.text
    assert "secret" not in caplog.text + repr(to("https://host/secret")(deliveries.due(NOW + timedelta(hours=1), 1)[0]))
    courier.close()


def test_a_claim_is_given_once_and_comes_back_when_its_watcher_dies(deliveries: Deliveries) -> None:
    end = an_end()
    deliveries.add([end], NOW)
    [seen] = deliveries.due(NOW, 8)
    claims: list[Delivery | None] = []
    threads = [threading.Thread(target=lambda: claims.append(deliveries.claim(seen, NOW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.tries for claim in claims if claim] == [1]
    assert deliveries.due(NOW + timedelta(seconds=30), 8) == []
    [again] = deliveries.due(NOW + timedelta(seconds=61), 8)  # the first claim was not reported
    second = deliveries.claim(again, NOW + timedelta(seconds=61))
    assert second is not None and second.tries == 2
    deliveries.record(replace(second, tries=1), Reply(status=500), NOW)  # the first claim's report is too late to count
    [third] = deliveries.due(NOW + timedelta(seconds=122), 8)
    assert third.tries == 2


def test_a_slow_receiver_holds_up_its_own_callbacks_only(
    deliveries: Deliveries, settings: Callable[..., Any], receiver: Receiver
) -> None:
    slow, clock = Receiver(), Clock()
    slow.pause_s = 120.0
    hosts = {f"localhost:{slow.server_address[1]}", receiver.host}
    sender = CallbackSender(settings(callback_secret=SECRET, http_allowed_hosts=hosts))
    outcomes = [an_end() for _ in range(9)]
    last = outcomes[-1].event_id
    addresses = {True: receiver.url(), False: f"http://localhost:{slow.server_address[1]}/"}
    with serving(slow):
        for second, end in enumerate(outcomes):
            deliveries.add([end], NOW - timedelta(seconds=20 - second))
        courier = Courier(deliveries, sender, lambda each: to(addresses[each.event_id == last])(each), clock)
        for _ in range(2):
            courier.dispatch()
            while deliveries.due(clock(), 9) and len(slow.told) < 2:
                time.sleep(0.01)
        receiver.wait_for(1)
        assert (len(slow.told), slow.answered) == (2, 0)
        slow.released.set()
        courier.wait()
    courier.close()


def test_a_receiver_that_drips_for_ever_is_cut_off(
    settings: Callable[..., Any], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsync_service.callbacks.sender.TIMEOUT_S", 0.5)
    sender = CallbackSender(settings(callback_secret=SECRET, http_allowed_hosts=("127.0.0.1",)))
    receiver.drips = True
    reply = sender.send(Letter(uuid4(), receiver.url(), b"{}"), NOW)
    assert reply == Reply(error_code="LIMIT_TRANSFER_TIME") and not reply.is_refused
    assert receiver.hung_up.wait(30)


def test_a_delivery_waits_untried_while_nobody_can_say_where_it_goes(
    deliveries: Deliveries, sender: CallbackSender
) -> None:
    def write(_: Delivery) -> Letter:
        raise ServiceDownError("the service does not answer")

    clock = Clock()
    deliveries.add([an_end()], clock())
    courier = Courier(deliveries, sender, write, clock)
    assert courier.dispatch() == 1
    courier.wait()
    [waiting] = deliveries.due(NOW + timedelta(seconds=1), 8)
    assert waiting.tries == 0
    courier.close()


def test_one_of_two_watchers_has_the_lease_until_it_lets_it_run_out(deliveries: Deliveries) -> None:
    first, second = uuid4(), uuid4()

    def holds(holder: UUID, later_s: int) -> bool:
        now = NOW + timedelta(seconds=later_s)
        return deliveries.hold_lease("recovery", holder, now, now + timedelta(seconds=20))

    assert [holds(first, 0), holds(second, 1), holds(first, 15), holds(second, 30)] == [True, False, True, False]
    assert [holds(second, 36), holds(first, 37), holds(second, 50)] == [True, False, True]


def test_deliveries_fail_in_our_words_when_the_database_has_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError):
        Deliveries(f"sqlite:///{tmp_path / 'empty.sqlite'}").due(NOW, 1)


def test_ended_deliveries_go_after_a_month_and_others_stay(deliveries: Deliveries, url: str) -> None:
    ends = {name: an_end() for name in ("delivered", "refused", "pending", "recent")}
    deliveries.add(list(ends.values()), NOW)
    replies = {"delivered": Reply(status=200), "refused": Reply(status=410), "recent": Reply(status=200)}
    for seen in deliveries.due(NOW, 8):
        [name] = [name for name, end in ends.items() if end.event_id == seen.event_id]
        claimed = deliveries.claim(seen, NOW)
        if name in replies and claimed is not None:
            deliveries.record(claimed, replies[name], NOW + timedelta(days=2 if name == "recent" else 0))
    assert deliveries.prune(NOW + KEPT) == 0
    assert deliveries.prune(NOW + KEPT + timedelta(days=1)) == 2
    with open_engine(url).connect() as connection:
        left = set(connection.execute(sqlalchemy.text("SELECT event_id FROM callback_deliveries")).scalars())
    assert {UUID(str(each)) for each in left} == {ends["pending"].event_id, ends["recent"].event_id}
    assert deliveries.prune(NOW + KEPT + timedelta(days=3)) == 1


def test_one_pruning_is_bounded(deliveries: Deliveries, url: str) -> None:
    facts = {"attempt": 1, "event": "job.completed", "created_at": NOW, "tries": 1, "delivered_at": NOW}
    rows = [{"event_id": uuid4(), "job_id": uuid4(), **facts} for _ in range(1005)]
    with open_engine(url).begin() as connection:
        connection.execute(sqlalchemy.insert(CallbackDelivery), rows)
    after = NOW + KEPT + timedelta(days=1)
    assert [deliveries.prune(after) for _ in range(3)] == [1000, 5, 0]
