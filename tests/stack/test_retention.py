"""Prefect's own vacuum on the real stack: old runs go with all that hangs on them, and the ledger still knows them."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME
from lipsync_service.client.job_client import JobClient, open_client
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.deploy.retention import EVENTS_KEPT_DAYS, RUNS_KEPT_DAYS
from lipsync_service.errors import JobMissingError
from lipsync_service.settings import Settings
from tests.thorough import thorough

pytestmark = thorough

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.stack.conftest import Json, Service

LIMIT_S = 60.0
#: The rows of runs %s in each table of Prefect's database.
ROWS = {
    "flow_run": "SELECT count(*) FROM flow_run WHERE id = ANY(%s)",
    "task_run": "SELECT count(*) FROM task_run WHERE flow_run_id = ANY(%s)",
    "flow_run_state": "SELECT count(*) FROM flow_run_state WHERE flow_run_id = ANY(%s)",
    "log": "SELECT count(*) FROM log WHERE flow_run_id = ANY(%s)",
    "artifact": "SELECT count(*) FROM artifact WHERE flow_run_id = ANY(%s)",
    "artifact_collection": "SELECT count(*) FROM artifact_collection WHERE flow_run_id = ANY(%s)",
}
#: The ids of the events that tell of the resources %s, without heartbeats, which are kept for a day only.
EVENTS = """
    SELECT id FROM events WHERE event <> 'prefect.flow-run.heartbeat'
        AND id IN (SELECT event_id FROM event_resources WHERE resource_id = ANY(%s))
"""
#: The rows of events %s.
EVENT_ROWS = """
    SELECT (SELECT count(*) FROM events WHERE id = ANY(%(ids)s)),
           (SELECT count(*) FROM event_resources WHERE event_id = ANY(%(ids)s))
"""


@pytest.fixture
def client(service: "Service") -> Iterator[JobClient]:
    with open_client(Settings(_env_file=service.layout.root / FILE_NAME)) as client:
        yield client


def rows(service: "Service", run_ids: list[str]) -> dict[str, int]:
    with service.database("prefect") as connection:
        ids = [UUID(each) for each in run_ids]
        counted = {table: connection.execute(query, [ids]).fetchone() for table, query in ROWS.items()}
    return {table: row[0] for table, row in counted.items() if row is not None}


def events_of(service: "Service", run_ids: list[str]) -> list[UUID]:
    """The events of these runs; the last ones are written some seconds after a run's end."""
    names = [f"prefect.flow-run.{each}" for each in run_ids]
    with service.database("prefect") as connection:
        return [row[0] for row in connection.execute(EVENTS, [names]).fetchall()]


def event_rows(service: "Service", event_ids: list[UUID]) -> tuple[int, int]:
    """How many of these events are left, and how many of their resources."""
    with service.database("prefect") as connection:
        events, resources = connection.execute(EVENT_ROWS, {"ids": event_ids}).fetchall()[0]
    return events, resources


def age(service: "Service", run_ids: list[str], days: int) -> list[UUID]:
    """Move the end of these runs into the past, and their present events as far; returns the ids of the events."""
    event_ids = events_of(service, run_ids)
    span = f"{days} days"
    with service.database("prefect") as connection:
        ids = [UUID(each) for each in run_ids]
        connection.execute("UPDATE flow_run SET end_time = end_time - %s::interval WHERE id = ANY(%s)", [span, ids])
        for table, key in (("events", "id"), ("event_resources", "event_id")):
            move = f"UPDATE {table} SET occurred = occurred - %s::interval WHERE {key} = ANY(%s)"
            connection.execute(move, [span, event_ids])
    return event_ids


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {LIMIT_S} s"
        time.sleep(0.5)


def figures(service: "Service") -> str:
    with urllib.request.urlopen(service.layout.metrics_url, timeout=20) as answer:
        return str(answer.read().decode())


def family(service: "Service", run: "Json") -> list[str]:
    return [run["id"], *(child["id"] for child in service.children(run["id"]))]


def test_old_runs_go_and_the_ledger_still_answers_for_them(
    service: "Service", client: JobClient, face: Path, speech: Path
) -> None:
    request: dict[str, Any] = {
        "video": service.put(face, "inputs/kept.mp4"),
        "audio": service.put(speech, "inputs/kept.wav"),
        "output": "s3://lipsync/outputs/kept.mp4",
        "idempotency_key": f"kept-{uuid4()}",
    }
    fresh = service.run({**request, "idempotency_key": None, "video": "s3://lipsync/inputs/none.mp4"})
    run = service.run(request)
    assert run["state"]["type"] == "COMPLETED", service.logs(run["id"])
    old = family(service, run)
    assert len(old) == 2  # with the child on the GPU pool
    wait_until(lambda: all(rows(service, old).values()) and all(events_of(service, [each]) for each in old))
    events = age(service, old, RUNS_KEPT_DAYS + 1)
    wait_until(lambda: not any(rows(service, old).values()))
    wait_until(lambda: event_rows(service, events) == (0, 0))

    assert service.api.get(f"/flow_runs/{fresh['id']}").json()["state"]["type"] == "FAILED"
    assert rows(service, [fresh["id"]])["log"] and events_of(service, [fresh["id"]])
    assert service.ledger("SELECT state FROM jobs WHERE id = %s", run["id"]) == [("completed",)]
    [(stages,)] = service.ledger("SELECT count(*) FROM stage_timings WHERE job_id = %s", run["id"])
    assert stages > 5
    with pytest.raises(JobMissingError):
        client.job(UUID(run["id"]))

    again = client.submit(LipSyncRequest.model_validate(request))  # the key: Prefect has forgotten it
    assert again.is_new
    job = client.wait(again.job_id)
    assert (job.id, job.state, job.same_as) == (again.job_id, "completed", UUID(run["id"]))
    assert service.children(str(again.job_id)) == []  # nothing was done again
    assert 'lipsync_up{part="prefect"} 1.0' in figures(service)
    assert 'lipsync_up{part="ledger"} 1.0' in figures(service)


def test_runs_and_events_stay_until_their_time(service: "Service") -> None:
    none = "s3://lipsync/inputs/none"
    request = {"video": f"{none}.mp4", "audio": f"{none}.wav", "output": "s3://lipsync/outputs/none.mp4"}
    young, old = (service.run(request)["id"] for _ in range(2))
    wait_until(lambda: all(events_of(service, [each]) for each in (young, old)))
    kept = age(service, [young], EVENTS_KEPT_DAYS - 2)
    gone = age(service, [old], RUNS_KEPT_DAYS - 1)  # older than events are kept, and younger than runs
    wait_until(lambda: event_rows(service, gone) == (0, 0))
    assert [rows(service, [each])["flow_run"] for each in (young, old)] == [1, 1]
    assert event_rows(service, kept)[0] == len(kept) > 0
