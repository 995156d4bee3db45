"""The watcher on the real stack: it sends callbacks and recovers lost runs, whichever process is killed meanwhile."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prometheus_client.parser import text_string_to_metric_families

from infra.local.layout import BUCKET
from lipsync_service.deploy.automation import NAME, drop_automation
from lipsync_service.settings import Settings
from lipsync_service.watch.recovery import SILENCE_LIMIT, Recovery
from lipsync_service.watch.service_api import open_watched_api
from tests.receiver import CALLED, Receiver, Told, is_signed
from tests.web import serving

if TYPE_CHECKING:
    from tests.stack.conftest import Json, Service

SOURCE = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
MISSING = {
    "video": "s3://lipsync/inputs/no-such-file.mp4",
    "audio": "s3://lipsync/inputs/no-such-file.wav",
    "output": "s3://lipsync/outputs/watched.mp4",
}


class OwnWatcher:
    """A watcher in place of the stack's own; it may reach the receiver, and tests can kill it."""

    def __init__(self, service: "Service", receiver: Receiver) -> None:
        pid = service.process("watcher")
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        environment = dict(pair.decode().split("=", 1) for pair in pairs if pair)
        self.environment = {**environment, "LIPSYNC_HTTP_ALLOWED_HOSTS": receiver.host}
        os.kill(pid, signal.SIGTERM)
        self._log = service.layout.logs / "own-watcher.log"
        self._url = service.layout.metrics_url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "lipsync_service.watch"]
            self._process = subprocess.Popen(command, cwd=SOURCE, env=self.environment, stdout=log, stderr=log)
        wait_until(lambda: "lipsync_up" in page(self._url))

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
            self._process = None

    def printed(self) -> str:
        return self._log.read_text()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver(CALLED)
    with serving(server):
        yield server


@pytest.fixture(scope="module")
def own_watcher(service: "Service", receiver: Receiver) -> Iterator[OwnWatcher]:
    own = OwnWatcher(service, receiver)
    wait_until(lambda: not page(service.layout.metrics_url))
    try:
        yield own
    finally:
        own.kill(signal.SIGTERM)
        service.stack("up")


@pytest.fixture
def watcher(own_watcher: OwnWatcher, receiver: Receiver) -> Iterator[OwnWatcher]:
    receiver.told.clear()
    own_watcher.start()
    yield own_watcher


def wait_until(is_so: Any, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {limit_s} s"
        time.sleep(0.1)


def page(url: str) -> str:
    """The metrics; empty if no watcher serves them."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def waiting_run(service: "Service", request: "Json") -> str:
    """A job that is not due before tomorrow."""
    found = service.api.get("/deployments/name/lipsync/lipsync").raise_for_status().json()
    body = {"parameters": {"request": request}, "state": later()}
    answer = service.api.post(f"/deployments/{found['id']}/create_flow_run", json=body)
    return str(answer.raise_for_status().json()["id"])


def later() -> "Json":
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    return {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}}


def set_state(service: "Service", run_id: str, state: "Json") -> None:
    body = {"state": state, "force": True}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=body).raise_for_status()


def state_of(service: "Service", run_id: str) -> "Json":
    return dict(service.api.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"])


def told_of(receiver: Receiver, run_id: str, count: int = 1) -> list[Told]:
    def found() -> list[Told]:
        return [told for told in receiver.told if told.event["job_id"] == run_id]

    wait_until(lambda: len(found()) >= count)
    return found()


def delivery(service: "Service", run_id: str) -> tuple[Any, ...]:
    query = "SELECT tries, last_status, last_error, given_up_at IS NOT NULL FROM callback_deliveries WHERE job_id = %s"
    [row] = service.ledger(query, run_id) or [()]
    return row


def test_a_job_that_completes_tells_its_caller_soon(
    service: "Service", face: Path, speech: Path, watcher: OwnWatcher, receiver: Receiver
) -> None:
    request = {
        "video": service.put(face, "inputs/watched.mp4"),
        "audio": service.put(speech, "inputs/watched.wav"),
        "output": service.presigned("PUT", "outputs/watched.mp4"),
        "callback_url": receiver.url("/hook?key=sesame"),
        "metadata": {"order": "№ 7"},
    }
    run = service.run(request)
    assert run["state"]["type"] == "COMPLETED", service.logs(run["id"])
    [told] = told_of(receiver, run["id"])
    assert told.at - datetime.fromisoformat(run["end_time"]).timestamp() < 10  # 0.3 to 1.1 s where nothing else runs
    assert told.path == "/hook?key=sesame"
    assert is_signed(told, watcher.environment["LIPSYNC_CALLBACK_SECRET"])
    assert not is_signed(told, "whsec_" + "A" * 44)
    said = told.event
    assert (said["event"], said["state"], said["attempt"], said["error"]) == ("job.completed", "completed", 1, None)
    assert said["event_id"] == told.headers["webhook-id"]
    assert said["metadata"] == {"order": "№ 7"}
    assert said["output"] == request["output"].partition("?")[0]
    assert "Signature" in request["output"] and "Signature" not in told.body.decode()
    assert "sesame" not in watcher.printed()
    assert (said["warnings"], said["score"]["verdict"], said["provenance"]["error"]) == ([], None, None)
    assert 0 < said["score"]["score"] <= 1 and said["provenance"]["signer"]


def test_a_caller_who_asked_for_more_is_told_the_figures_of_the_result_that_was_refused(
    service: "Service", face: Path, speech: Path, watcher: OwnWatcher, receiver: Receiver
) -> None:
    request = {
        "video": service.put(face, "inputs/refused.mp4"),
        "audio": service.put(speech, "inputs/refused.wav"),
        "output": "s3://lipsync/outputs/refused.mp4",
        "callback_url": receiver.url(),
        "min_score": 1.0,
    }
    run = service.run(request)
    [told] = told_of(receiver, run["id"])
    said = told.event
    assert (said["event"], said["error"]["code"]) == ("job.failed", "QUALITY_LOW")
    assert said["score"]["verdict"] == "refused" and 0 < said["score"]["score"] < 1
    assert said["score"]["worst"]["first_frame"] < said["score"]["worst"]["last_frame"]
    assert f"sync score {said['score']['account'].removeprefix('low: ')}" in said["error"]["message"]
    assert said["provenance"] is None
    stored = service.s3.list_objects_v2(Bucket=BUCKET, Prefix="outputs/refused.mp4")
    assert stored["KeyCount"] == 0


def test_a_callback_outlives_its_watcher_and_keeps_its_id(
    service: "Service", own_watcher: OwnWatcher, receiver: Receiver
) -> None:
    own_watcher.kill()
    receiver.told.clear()
    receiver.answers = [500, 503]
    run = service.run({**MISSING, "callback_url": receiver.url()})  # it ends while no watcher runs
    assert receiver.told == []
    for number, status in ((1, 500), (2, 503)):
        own_watcher.start()
        told_of(receiver, run["id"], number)
        wait_until(lambda number=number, status=status: delivery(service, run["id"])[:2] == (number, status))
        own_watcher.kill()
    own_watcher.start()
    told = told_of(receiver, run["id"], 3)
    wait_until(lambda: delivery(service, run["id"])[1:] == (204, None, False))
    assert len({each.headers["webhook-id"] for each in told}) == 1
    assert [each.event["event"] for each in told] == ["job.failed"] * 3
    assert told[0].event["error"]["code"] == "NOT_FOUND"
    assert told[1].at - told[0].at > 3.5


def test_two_watchers_tell_once(service: "Service", watcher: OwnWatcher, receiver: Receiver) -> None:
    port = service.layout.first_port + 7  # reserved with the others
    environment = {**watcher.environment, "LIPSYNC_METRICS_PORT": str(port)}
    command = [sys.executable, "-m", "lipsync_service.watch"]
    with subprocess.Popen(command, cwd=SOURCE, env=environment, stderr=subprocess.DEVNULL) as second:
        try:
            wait_until(lambda: "lipsync_up" in page(f"http://127.0.0.1:{port}/metrics"))
            jobs = [service.start({**MISSING, "callback_url": receiver.url()}) for _ in range(5)]
            for run_id in jobs:
                told_of(receiver, run_id)
                wait_until(lambda run_id=run_id: delivery(service, run_id)[1] == 204)
        finally:
            second.terminate()
    assert sorted(told.event["job_id"] for told in receiver.told) == sorted(jobs)
    assert {delivery(service, run_id) for run_id in jobs} == {(1, 204, None, False)}


def test_each_attempt_of_a_job_is_told_of(service: "Service", watcher: OwnWatcher, receiver: Receiver) -> None:
    run = service.run({**MISSING, "callback_url": receiver.url()})
    set_state(service, run["id"], {"type": "SCHEDULED", "name": "AwaitingRetry"})  # before the watcher can look, or not
    told = told_of(receiver, run["id"], 2)
    assert sorted(each.event["attempt"] for each in told) == [1, 2]
    assert len({each.headers["webhook-id"] for each in told}) == 2


def test_a_job_that_is_cancelled_before_it_starts_is_told_of_and_entered(
    service: "Service", watcher: OwnWatcher, receiver: Receiver
) -> None:
    run_id = waiting_run(service, {**MISSING, "callback_url": receiver.url()})
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    service.api.post(f"/flow_runs/{run_id}/set_state", json=state).raise_for_status()
    [told] = told_of(receiver, run_id)
    assert told.event["event"] == "job.cancelled"
    wait_until(lambda: service.ledger("SELECT state FROM jobs WHERE id = %s", run_id) == [("cancelled",)])


def test_a_job_that_kills_its_process_three_times_ends_for_good(
    service: "Service", watcher: OwnWatcher, receiver: Receiver
) -> None:
    run_id = waiting_run(service, {**MISSING, "callback_url": receiver.url()})
    for crash in (1, 2, 3):
        set_state(service, run_id, {"type": "RUNNING", "name": "Running"})
        set_state(service, run_id, {"type": "CRASHED", "name": "Crashed"})
        if crash < 3:
            set_state(service, run_id, later())
    [told] = told_of(receiver, run_id)
    assert (told.event["event"], told.event["error"]["code"]) == ("job.failed", "POISON")
    query = "SELECT state, error_code FROM jobs WHERE id = %s"
    wait_until(lambda: service.ledger(query, run_id) == [("failed", "POISON")])
    assert state_of(service, run_id)["type"] == "FAILED"


def test_a_callback_is_refused_when_its_host_is_not_allowed(
    service: "Service", watcher: OwnWatcher, receiver: Receiver
) -> None:
    run = service.run({**MISSING, "callback_url": receiver.url().replace(CALLED, "localhost")})
    wait_until(lambda: delivery(service, run["id"]) == (1, None, "URL_REFUSED", True))
    # A watcher of an earlier test may have been killed before it recorded an answer, so that its event comes again.
    assert [told for told in receiver.told if told.event["job_id"] == run["id"]] == []


def test_runs_that_no_worker_starts_or_ends_are_freed_and_others_are_left_alone(service: "Service") -> None:
    requests = {**MISSING, "metadata": {"of": "recovery"}}
    claimed, stopping, strange = (waiting_run(service, requests) for _ in range(3))
    flow = service.api.post("/flows/", json={"name": f"other-{uuid4().hex}"}).raise_for_status().json()
    foreign = service.api.post("/flow_runs/", json={"flow_id": flow["id"], "state": {"type": "PENDING"}}).json()["id"]
    set_state(service, claimed, {"type": "PENDING", "name": "Pending"})
    for run_id in (stopping, strange):
        set_state(service, run_id, {"type": "RUNNING", "name": "Running"})
    set_state(service, stopping, {"type": "CANCELLING", "name": "Cancelling"})
    with open_watched_api(Settings(api_url=service.layout.api_url), 20.0) as api:
        Recovery(api, lambda: datetime.now(UTC) + timedelta(seconds=60)).free_stale()
        assert state_of(service, claimed)["type"] == "PENDING"
        assert state_of(service, stopping)["type"] == "CANCELLING"
        Recovery(api, lambda: datetime.now(UTC) + timedelta(seconds=121)).free_stale()
    assert service.finished(claimed)["state"]["message"].startswith("NOT_FOUND")  # a worker has taken it
    assert state_of(service, stopping)["type"] == "CANCELLED"
    assert state_of(service, strange)["type"] == "RUNNING"
    assert state_of(service, foreign)["type"] == "PENDING"
    set_state(service, strange, {"type": "CANCELLED", "name": "Cancelled"})


def test_a_run_is_marked_as_crashed_when_it_sends_no_heartbeat(service: "Service") -> None:
    beating, never = (waiting_run(service, MISSING) for _ in range(2))
    flow_id = service.api.get(f"/flow_runs/{never}").json()["flow_id"]
    without_worker = service.api.post("/flow_runs/", json={"flow_id": flow_id}).raise_for_status().json()["id"]
    runs = (beating, never, without_worker)
    for run_id in runs:
        set_state(service, run_id, {"type": "RUNNING", "name": "Running"})
    time.sleep(3)
    heard_at = datetime.now(UTC)
    event = {
        "id": str(uuid4()),
        "occurred": heard_at.isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{beating}"},
    }
    service.api.post("/events", json=[event]).raise_for_status()
    with open_watched_api(Settings(api_url=service.layout.api_url), 20.0) as api:
        began_at = api.run(UUID(never)).state.since
        both = [UUID(beating), UUID(never)]
        wait_until(lambda: api.heard_since(both, heard_at - timedelta(seconds=1)) == {UUID(beating)})
        crashed = []
        for moment in (began_at, began_at + timedelta(seconds=2), heard_at + timedelta(seconds=2)):
            Recovery(api, lambda now=moment: now + SILENCE_LIMIT - timedelta(seconds=1)).mark_silent()
            crashed.append([state_of(service, run_id)["type"] == "CRASHED" for run_id in runs])
    assert crashed == [[False, False, False], [False, True, False], [True, True, False]]
    for run_id in runs:
        set_state(service, run_id, {"type": "CANCELLED", "name": "Cancelled"})


def test_the_automation_of_earlier_releases_is_removed(service: "Service") -> None:
    """It marked runs as crashed that waited for a worker."""
    trigger = {"type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": ["nothing.at.all"]}
    automation = {"name": NAME, "trigger": trigger, "actions": [{"type": "do-nothing"}]}
    service.api.post("/automations/", json=automation).raise_for_status()
    with SyncPrefectClient(service.layout.api_url) as client:
        drop_automation(client)
    body = {"automations": {"name": {"any_": [NAME]}}}
    assert service.api.post("/automations/filter", json=body).raise_for_status().json() == []


def test_the_figures_tell_of_both_parts_and_of_every_queue(service: "Service", watcher: OwnWatcher) -> None:
    waiting_run(service, MISSING)  # not due, so nothing waits
    families = text_string_to_metric_families(page(service.layout.metrics_url))
    found = {(each.name, *each.labels.values()): each.value for one in families for each in one.samples}
    assert found["lipsync_up", "ledger"] == found["lipsync_up", "prefect"] == 1
    for pool in ("lipsync-cpu", "lipsync-gpu"):
        for queue in ("interactive", "bulk"):
            assert found["lipsync_queue_waiting_runs", pool, queue] == 0
            assert found["lipsync_queue_oldest_wait_seconds", pool, queue] == 0
    assert found["lipsync_failed_jobs", "NOT_FOUND"] >= 1
