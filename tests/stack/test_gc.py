"""The deployment that cleans the service, on the real stack: beside a job that waits and one that is at work."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME
from infra.local.layout import BUCKET
from lipsync_service.client.local_files import FileExchange, LocalFiles
from lipsync_service.client.prefect_api import RunQuery, open_api
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import CLEANED_ARTIFACT, JOB_FLOW
from lipsync_service.settings import Settings
from tests.stack.test_launch import forked_runs, wait_until

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Json, Service

#: Everything that no job uses is too old at once.
NO_TIME = {f"LIPSYNC_KEEP_{name}_DAYS": "1e-9" for name in ("UPLOADS", "TRACKS", "EDITS", "RENDERS", "HANDOVERS")}
NO_TIME["LIPSYNC_KEEP_IN_USE_HOURS"] = "1e-9"


@pytest.fixture
def settings(service: "Service", tmp_path: Path) -> Settings:
    return Settings(_env_file=service.layout.root / FILE_NAME, cache_dir=tmp_path / "cache")


def names(service: "Service") -> set[str]:
    """The objects of the service's storage."""
    pages = service.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="work/")
    return {each["Key"].removeprefix("work/") for page in pages for each in page.get("Contents", ())}


def sent(settings: Settings, video: Path, audio: Path, output: Path) -> "Json":
    """A request with files of the caller's machine, which are in the service's storage now."""
    files, local = FileExchange(settings), LocalFiles(video, audio, output)
    paths = {"video": video.as_uri(), "audio": audio.as_uri(), "output": output.as_uri()}
    request = files.addressed(LipSyncRequest(**paths), local)
    files.send(request, local, lambda path, progress: None)
    return request.model_dump(mode="json")


def cleaned(service: "Service", is_dry: bool = False) -> dict[str, dict[str, Any]]:
    """Run the deployment with no time for anything; the rows of its artifact by kind."""
    found = service.api.get("/deployments/name/lipsync-gc/lipsync-gc").raise_for_status().json()
    body = {"parameters": {"dry_run": is_dry}, "job_variables": {"env": NO_TIME}, "work_queue_name": "interactive"}
    answer = service.api.post(f"/deployments/{found['id']}/create_flow_run", json=body).raise_for_status()
    run = service.finished(answer.json()["id"])
    assert run["state"]["type"] == "COMPLETED", service.logs(run["id"])
    table = json.loads(service.artifacts(run["id"])[CLEANED_ARTIFACT]["data"])
    return {row["kind"]: row for row in table}


def copy_of(video: Path, path: Path) -> Path:
    """The same pictures in other bytes: a box is appended that readers skip."""
    path.write_bytes(video.read_bytes() + (8 + len(path.name)).to_bytes(4) + b"free" + path.name.encode())
    return path


def test_the_service_cleans_itself_and_leaves_what_jobs_use(
    service: "Service", settings: Settings, ffmpeg: "Ffmpeg", face: Path, speech: Path, tmp_path: Path
) -> None:
    cleaned(service)  # what other tests have left
    before = names(service)

    done = service.run(sent(settings, copy_of(face, tmp_path / "done.mp4"), speech, tmp_path / "out.mp4"))
    assert done["state"]["type"] == "COMPLETED", service.logs(done["id"])
    service.s3.put_object(Bucket=BUCKET, Key=f"work/renders/{done['id']}-left.mp4", Body=b"left by a killed attempt")
    of_done = names(service) - before
    results = {name for name in of_done if name.startswith("results/")}
    assert {name.partition("/")[0] for name in of_done} >= {"uploads", "tracks", "edits", "handovers", "results"}

    waits = sent(
        settings, copy_of(face, tmp_path / "waits.mp4"), copy_of(speech, tmp_path / "w.wav"), tmp_path / "w.mp4"
    )
    found = service.api.get("/deployments/name/lipsync/lipsync").raise_for_status().json()
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    state = {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}}
    body = {"parameters": {"request": waits}, "state": state}
    waiting = service.api.post(f"/deployments/{found['id']}/create_flow_run", json=body).raise_for_status().json()["id"]
    of_waiting = {waits[name].removeprefix(f"{settings.storage_url}/") for name in ("video", "audio")}
    assert of_waiting <= names(service)

    ffmpeg("-stream_loop", "30", "-i", speech, "-t", "20", tmp_path / "long.wav")
    at_work = service.start(
        sent(settings, copy_of(face, tmp_path / "b.mp4"), tmp_path / "long.wav", tmp_path / "b-out.mp4")
    )
    wait_until(lambda: "encode" in service.task_states(at_work))
    process = min(forked_runs(service))
    os.kill(process, signal.SIGSTOP)
    try:
        of_work = names(service) - before - of_done - of_waiting
        assert {name.partition("/")[0] for name in of_work} == {"uploads", "tracks", "edits", "handovers"}
        with_all = names(service)
        said = cleaned(service, is_dry=True)
        assert names(service) == with_all
        rows = cleaned(service)
    finally:
        os.kill(process, signal.SIGCONT)
    stay = names(service)
    assert of_work | of_waiting | results <= stay
    gone = {name for name in of_done if name.startswith(("uploads/", "renders/"))}
    assert len(gone) == 3 and not gone & stay
    assert said["uploads"]["would remove"] == rows["uploads"]["removed"] == 2
    assert rows["renders"]["removed"] == 1 and rows["edits"]["in use"] >= 1

    assert service.finished(at_work)["state"]["type"] == "COMPLETED", service.logs(at_work)
    cleaned(service)
    [result] = names(service) - before - of_waiting - results
    assert result.startswith("results/")
    with open_api(settings) as api:  # the very question that the cleaning asks page by page
        due_at = api.run(waiting).due_at  # type: ignore[arg-type]
        listed = [api.runs(RunQuery(JOB_FLOW, ("SCHEDULED",), due_until=each)) for each in (due_at, datetime.now(UTC))]
    assert [waiting in {str(run.id) for run in runs} for runs in listed] == [True, False]
    service.api.delete(f"/flow_runs/{waiting}").raise_for_status()
