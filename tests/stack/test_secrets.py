"""Secrets of requests and of the service, planted and then looked for wherever a job leaves traces."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME
from infra.local.layout import BUCKET
from infra.local.objects import read_keys
from lipsync_service.client.job_client import JobClient, open_client
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.settings import Settings
from tests.receiver import CALLED
from tests.stack.test_launch import wait_until

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.stack.conftest import Service

CANARY = "canary" + "4f1c9d"  # put together, because a traceback quotes this file
_SECRET_FOLDER = "work/secrets/"


@pytest.fixture
def client(service: "Service") -> Iterator[JobClient]:
    with open_client(Settings(_env_file=service.layout.root / FILE_NAME)) as client:
        yield client


def presigned_request(service: "Service", face: Path, speech: Path) -> dict[str, Any]:
    service.put(face, "private/face.mp4")
    service.put(speech, "private/speech.wav")
    return {
        "video": service.presigned("GET", "private/face.mp4"),
        "audio": service.presigned("GET", "private/speech.wav"),
        "output": service.presigned("PUT", f"private/{CANARY[:3]}-out.mp4"),
        "callback_url": f"http://{CALLED}:9/{CANARY}-hook?token={CANARY}",
    }


def signatures(request: dict[str, Any]) -> list[str]:
    return [parse_qs(urlsplit(request[name]).query)["X-Amz-Signature"][0] for name in ("video", "audio", "output")]


def rows_that_hold(service: "Service", secrets: list[str]) -> list[str]:
    """The tables of Prefect and of the ledger in which a row holds one of the secrets, in any column."""
    found = []
    for database in ("prefect", "lipsync"):
        with service.database(database) as connection:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            for (table,) in connection.execute(query).fetchall():
                for secret in secrets:
                    held = connection.execute(
                        f'SELECT count(*) FROM "{table}" AS each WHERE each::text LIKE %s',
                        [f"%{secret}%"],
                    ).fetchone()
                    found += [f"{database}.{table}: {secret[:8]}"] if held and held[0] else []
    return found


def files_that_hold(service: "Service", secrets: list[str]) -> list[str]:
    """Files that the stack writes in its own folder, other than databases, objects and the files of secrets."""
    root, found = service.layout.root, []
    for folder in (service.layout.logs, service.layout.runs, root / "spool", root / "cache" / "sources"):
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                found += [f"{path}: {secret[:8]}" for secret in secrets if secret.encode() in content]
    return found


def commands_that_hold(secrets: list[str]) -> list[str]:
    """Command lines of this machine's processes, which every user of it can read."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_bytes()
            found += [str(path) for secret in secrets if secret.encode() in command]
    return found


def test_no_secret_of_a_job_is_told_anywhere(service: "Service", face: Path, speech: Path) -> None:
    request = presigned_request(service, face, speech)
    keys = read_keys(service.layout.s3_keys)
    callback_secret = service.layout.callback_secret.read_text().strip()
    secrets = [*signatures(request), CANARY, keys.secret_key, callback_secret]
    run_id = service.start(request)
    run = service.finished(run_id)
    assert run["state"]["name"] == "Completed", service.logs(run_id)
    with_password = {**request, "video": f"https://me:{CANARY}@example.com/face.mp4"}
    refused = service.run(with_password)
    assert refused["state"]["message"].startswith("URL_REFUSED: ")
    service.wait_for_log(run_id, "encoder")
    assert rows_that_hold(service, secrets) == []
    assert files_that_hold(service, secrets) == []
    assert commands_that_hold(secrets) == []
    shown = service.api.get(f"/flow_runs/{run_id}").json()["parameters"]["request"]
    assert shown["video"].startswith(service.presigned("GET", "private/face.mp4").partition("?")[0] + "#sealed=")
    [child] = service.children(run_id)
    assert child["parameters"]["request"] == shown


def test_a_client_seals_before_it_submits(service: "Service", client: JobClient, face: Path, speech: Path) -> None:
    request = presigned_request(service, face, speech)
    queue = "/work_pools/lipsync-cpu/queues/bulk"
    service.api.patch(queue, json={"is_paused": True}).raise_for_status()
    try:
        asked = LipSyncRequest(**request, priority="bulk", idempotency_key="sealed")
        job = client.submit(asked)
        secrets = [*signatures(request), CANARY]
        assert rows_that_hold(service, secrets) == []  # no worker has seen it yet
        kept = objects(service)
        again = client.submit(asked)
        assert (again.job_id, again.is_new) == (job.job_id, False)
        assert objects(service) == kept
    finally:
        service.api.patch(queue, json={"is_paused": False}).raise_for_status()
    assert client.wait(job.job_id).state == "completed"
    assert rows_that_hold(service, secrets) == []


def test_the_secrets_of_a_run_that_never_starts_are_sealed_by_the_watcher(
    service: "Service", client: JobClient, face: Path, speech: Path
) -> None:
    request = presigned_request(service, face, speech) | {"priority": "bulk"}
    queue = "/work_pools/lipsync-cpu/queues/bulk"
    service.api.patch(queue, json={"is_paused": True}).raise_for_status()
    try:
        deployment = service.api.get("/deployments/name/lipsync/lipsync").raise_for_status().json()["id"]
        ordered = {"parameters": {"request": request}, "work_queue_name": "bulk"}
        run = service.api.post(f"/deployments/{deployment}/create_flow_run", json=ordered).raise_for_status().json()
        assert "prefect.flow_run" in {each.partition(":")[0] for each in rows_that_hold(service, signatures(request))}
        client.cancel(UUID(run["id"]))
        wait_until(lambda: rows_that_hold(service, signatures(request)) == [])
    finally:
        service.api.patch(queue, json={"is_paused": False}).raise_for_status()


def test_a_reference_is_of_no_use_in_another_request(service: "Service", face: Path, speech: Path) -> None:
    run = service.run(presigned_request(service, face, speech))
    shown = service.api.get(f"/flow_runs/{run['id']}").json()["parameters"]["request"]
    stolen = service.run({**shown, "output": f"s3://{BUCKET}/outputs/stolen.mp4"})
    assert stolen["state"]["message"].startswith("URL_REFUSED: ")
    assert service.s3.list_objects_v2(Bucket=BUCKET, Prefix="outputs/stolen")["KeyCount"] == 0


def test_a_job_reaches_none_of_the_services_own_files(service: "Service", face: Path, speech: Path) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    for name in ("work/renders/a.mp4", "work/handovers/a.mp4", "work/results/ab/a.mp4", "x/../work/edits/a.mp4"):
        url = f"s3://{BUCKET}/{name}"
        for request in (
            {"video": url, "audio": audio, "output": f"s3://{BUCKET}/outputs/a.mp4"},
            {"video": video, "audio": audio, "output": url},
        ):
            run = service.run(request)
            assert run["state"]["message"].startswith("URL_REFUSED: "), (url, run["state"]["message"])


def objects(service: "Service") -> int:
    return int(service.s3.list_objects_v2(Bucket=BUCKET, Prefix=_SECRET_FOLDER)["KeyCount"])
