"""A caller's operations on the real service: submit, wait, show, cancel, run again; from the shell and from Python."""

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME, LEDGER_FILE_NAME
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from lipsync_service.client.job_client import JobClient, JobQuery, open_client
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import IdempotencyConflictError, JobMissingError, JobStateError
from lipsync_service.settings import Settings
from tests.stack.command_line import ID, CommandLine, error_line
from tests.stack.test_service import assert_equal_frames
from tests.text_tables import words
from tests.thorough import thorough

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Service

MISSING = ("s3://lipsync/none.mp4", "s3://lipsync/none.wav", "-o", "s3://lipsync/outputs/none.mp4")


@pytest.fixture
def lipsync(service: "Service", tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, service.layout.root / FILE_NAME)


@pytest.fixture
def client(lipsync: CommandLine) -> Iterator[JobClient]:
    with open_client(Settings(_env_file=lipsync.service_file)) as client:
        yield client


@pytest.fixture
def bulk_is_held(service: "Service", client: JobClient) -> Iterator[None]:
    """Pause the queue `bulk` for a test, and cancel its jobs afterwards."""
    queue = "/work_pools/lipsync-cpu/queues/bulk"
    service.api.patch(queue, json={"is_paused": True}).raise_for_status()
    yield
    for job in client.jobs(JobQuery(states=("scheduled",))):
        client.cancel(job.id)
    service.api.patch(queue, json={"is_paused": False}).raise_for_status()


@pytest.fixture
def face(ffmpeg: "Ffmpeg", face_clip: Path, tmp_path: Path) -> Path:
    """A second of a person."""
    ffmpeg("-i", face_clip, "-t", "1", "-an", "-vf", "scale=256:-2", "-preset", "ultrafast", tmp_path / "face.mp4")
    return tmp_path / "face.mp4"


@pytest.fixture
def speech(ffmpeg: "Ffmpeg", speech_wav: Path, tmp_path: Path) -> Path:
    ffmpeg("-i", speech_wav, "-t", "0.8", tmp_path / "speech.wav")
    return tmp_path / "speech.wav"


def wanted(**fields: object) -> LipSyncRequest:
    addresses = {"video": MISSING[0], "audio": MISSING[1], "output": MISSING[3]}
    return LipSyncRequest.model_validate({**addresses, "priority": "bulk", **fields})


def test_files_of_this_machine_give_the_frames_of_the_command_line(
    lipsync: CommandLine, face: Path, speech: Path, workspace: Workspace
) -> None:
    (lipsync.folder / "out.mp4").write_bytes(b"an older result")
    done = lipsync("submit", face.name, speech.name, "-o", "out.mp4", "--metadata", "show=x=y")
    assert "uploading face.mp4" in done.stderr and "uploading speech.wav" in done.stderr
    told, *facts = done.stdout.splitlines()
    assert told.startswith("job ") and told.endswith(": out.mp4")
    assert {line.split()[0] for line in facts} >= {"score", "signed"}
    lip_sync(face, speech, lipsync.folder / "local.mp4", workspace=workspace)
    assert_equal_frames(lipsync.folder / "out.mp4", lipsync.folder / "local.mp4")
    [job_id] = ID.findall(done.stdout)
    again = lipsync("submit", face.name, speech.name, "-o", "s3://lipsync/outputs/again.mp4", "--metadata", "show=x=y")
    assert "uploading" not in again.stderr
    assert ID.fullmatch(again.stdout.strip())
    assert not list(lipsync.folder.glob(".*.partial*"))
    assert_shown(lipsync, job_id)


def assert_shown(lipsync: CommandLine, job_id: str) -> None:
    """`jobs show` and `jobs list` tell of a completed job."""
    shown = lipsync.json("jobs", "show", job_id)
    assert (shown["state"], shown["attempt"], shown["code"]) == ("completed", 1, None)
    assert shown["name"].startswith("out-")
    assert shown["request"]["metadata"] == {"show": "x=y"}
    assert {"fetch video", "track", "infer", "blend", "encode", "upload"} <= {task["name"] for task in shown["tasks"]}
    assert {"track", "encode"} <= {row["stage"] for row in shown["timings"]}
    text = words(lipsync("jobs", "show", job_id).stdout)
    assert "state completed, attempt 1" in text and "label show x=y" in text
    assert job_id in words(lipsync("jobs", "list", "--state", "completed", "--since", "1h").stdout).split()
    assert lipsync("jobs", "list", "--since", "2999-01-01").stdout == "no jobs\n"
    lipsync("jobs", "wait", job_id, "-o", "fetched.mp4")
    assert (lipsync.folder / "fetched.mp4").read_bytes() == (lipsync.folder / "out.mp4").read_bytes()


def test_a_job_fails_with_the_code_and_the_exit_status_of_the_command_line(
    lipsync: CommandLine, ffmpeg: "Ffmpeg", speech: Path
) -> None:
    blank = ("-f", "lavfi", "-i", "color=gray:size=160x120:rate=25", "-frames:v", "10")
    ffmpeg(*blank, lipsync.folder / "blank.mp4")
    arguments = ("blank.mp4", speech.name, "-o", "out.mp4")
    local = lipsync("run", *arguments, status=4)
    served = lipsync("submit", *arguments, status=4)
    assert error_line(served).split()[:3] == error_line(local).split()[:3] == ["lipsync:", "error", "NO_FACE:"]
    assert not (lipsync.folder / "out.mp4").exists()
    for bad in (("none.mp4", speech.name, "-o", "out.mp4"), (blank[1], speech.name, "-o", "folder/out.mp4")):
        assert error_line(lipsync("submit", *bad, status=3 if bad[0] == "none.mp4" else 5)) == error_line(
            lipsync("run", *bad, status=3 if bad[0] == "none.mp4" else 5)
        )


@pytest.mark.usefixtures("bulk_is_held")
def test_a_key_stands_for_one_request(client: JobClient, lipsync: CommandLine) -> None:
    key = f"key-{uuid4()}"
    first = client.submit(wanted(idempotency_key=key))
    assert first.is_new
    again = client.submit(wanted(idempotency_key=key))
    assert (again.job_id, again.is_new) == (first.job_id, False)
    with pytest.raises(IdempotencyConflictError, match=str(first.job_id)):
        client.submit(wanted(idempotency_key=key, crf=21))
    done = lipsync("submit", *MISSING, "--key", key, status=2)  # it would be interactive
    assert error_line(done).startswith("lipsync: error IDEMPOTENCY_CONFLICT: ")
    same = lipsync("submit", *MISSING, "--key", key, "--priority", "bulk")
    assert same.stdout.strip() == str(first.job_id) and "was submitted before" in same.stderr
    assert client.submit(wanted()).job_id != client.submit(wanted()).job_id  # without a key each is a job of its own


@pytest.mark.usefixtures("bulk_is_held")
def test_a_waiting_job_is_cancelled_at_once_and_a_cancelled_one_runs_again(
    client: JobClient, lipsync: CommandLine
) -> None:
    job_id = client.submit(wanted()).job_id
    assert (client.job(job_id).state, client.job(job_id).queue) == ("scheduled", "bulk")
    with pytest.raises(JobStateError, match="has not failed"):
        client.retry(job_id)
    assert lipsync("jobs", "cancel", str(job_id)).stdout == f"job {job_id} is cancelled\n"
    assert error_line(lipsync("jobs", "wait", str(job_id), status=9)).startswith("lipsync: error JOB_CANCELLED: ")
    assert error_line(lipsync("jobs", "cancel", str(job_id), status=2)).startswith("lipsync: error JOB_STATE_REFUSED: ")
    lipsync("jobs", "retry", str(job_id))
    assert client.job(job_id).state == "scheduled"
    client.cancel(job_id)


def test_a_job_that_failed_runs_again_as_the_same_job(service: "Service", lipsync: CommandLine) -> None:
    failed = lipsync("submit", *MISSING, "--wait", "--json", status=7)
    assert error_line(failed).startswith("lipsync: error NOT_FOUND: s3://lipsync/none.")
    [job_id] = set(ID.findall(failed.stderr))
    assert lipsync("jobs", "retry", job_id).stdout.startswith(f"job {job_id} runs again, attempt 2")
    again = lipsync("jobs", "wait", job_id, "--json", status=7)
    assert '"attempt": 2' in again.stdout and '"code": "NOT_FOUND"' in again.stdout
    assert service.ledger("SELECT attempt, error_code FROM jobs WHERE id = %s", job_id) == [(2, "NOT_FOUND")]


def test_a_running_job_is_cancelled(
    client: JobClient, lipsync: CommandLine, ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path
) -> None:
    ffmpeg("-stream_loop", "5", "-i", face_clip, "-t", "30", "-an", "-preset", "ultrafast", lipsync.folder / "long.mp4")
    waiting = ("long.mp4", speech_wav, "-o", "out.mp4", "--no-wait", "--length", "video")
    job_id = UUID(lipsync("submit", *waiting).stdout.strip())
    while (job := client.job(job_id)).state != "running":
        assert not job.is_final
        time.sleep(0.2)
    assert lipsync("jobs", "cancel", str(job_id)).stdout == f"job {job_id} is being cancelled\n"
    assert client.wait(job_id).state == "cancelled"
    assert error_line(lipsync("jobs", "wait", str(job_id), status=9)).startswith("lipsync: error JOB_CANCELLED: ")


@thorough
@pytest.mark.usefixtures("bulk_is_held")
def test_a_job_that_crashed_is_waited_for_unless_it_stays_so(
    service: "Service", client: JobClient, lipsync: CommandLine
) -> None:
    once, often = (client.submit(wanted()).job_id for _ in range(2))
    for job_id in (once, often, often, often):
        for type_ in ("RUNNING", "CRASHED"):
            state = {"state": {"type": type_, "name": type_.title(), "message": "the worker\nvanished"}, "force": True}
            service.api.post(f"/flow_runs/{job_id}/set_state", json=state).raise_for_status()
    assert (client.job(often).state, client.job(often).error_code) == ("failed", "JOB_CRASHED")
    seen = set()
    for jobs in client.watch([once, often], 0.5):
        seen |= {(job.id, job.state) for job in jobs}
        if (once, "scheduled") in seen and client.job(once).state == "scheduled":
            client.cancel(once)
    assert seen == {(once, "failed"), (once, "scheduled"), (once, "cancelled"), (often, "failed")}
    line = error_line(lipsync("jobs", "wait", str(often), status=8))
    assert "POISON: the job's process vanished 3 times" in line and f"lipsync jobs retry {often}" in line


@pytest.mark.usefixtures("bulk_is_held")
def test_ctrl_c_stops_the_waiting_and_not_the_job(client: JobClient, lipsync: CommandLine) -> None:
    process = lipsync.start("submit", *MISSING, "--priority", "bulk", "--wait")
    assert process.stderr is not None
    said = ""
    while "queued" not in said:
        line = process.stderr.readline()
        assert line, f"it ended: {said}"
        said += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    [job_id] = set(ID.findall(said))
    assert (process.returncode, out) == (130, "")
    stopped = f"lipsync: error INTERRUPTED: stopped by SIGINT; job {job_id} goes on; to wait for it again: "
    assert err == f"{stopped}lipsync jobs wait {job_id}\n"
    assert client.cancel(UUID(job_id)).state == "cancelled"


@pytest.mark.usefixtures("bulk_is_held")
def test_ctrl_c_leaves_the_jobs_of_a_manifest(client: JobClient, lipsync: CommandLine) -> None:
    name = uuid4()
    (lipsync.folder / "rows.csv").write_text(f"video,audio,output\ns3://in/v,s3://in/a,s3://out/{name}.mp4\n")
    process = lipsync.start("batch", "rows.csv")
    assert process.stderr is not None
    while "0 of 1 jobs" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("; the jobs go on; run the command again to wait for them\n")
    [job] = [job for job in client.jobs(JobQuery()) if job.name.startswith(str(name))]
    assert (job.state, job.queue) == ("scheduled", "bulk")


def test_the_file_for_callers_opens_nothing_to_others_and_holds_no_database(
    lipsync: CommandLine,
) -> None:
    assert lipsync.service_file.stat().st_mode & 0o777 == 0o600
    names = {line.partition("=")[0] for line in lipsync.service_file.read_text().splitlines()}
    keys = {"LIPSYNC_S3_ENDPOINT", "LIPSYNC_S3_ACCESS_KEY", "LIPSYNC_S3_SECRET_KEY"}
    assert names == {"LIPSYNC_API_URL", "LIPSYNC_STORAGE_URL", *keys}


@thorough
def test_the_report_reads_the_ledger_of_the_service_that_was_started_here(
    service: "Service", client: JobClient, lipsync: CommandLine
) -> None:
    job_id = lipsync.json("submit", *MISSING, "--key", str(uuid4()))["id"]
    client.wait(UUID(job_id))
    (lipsync.folder / ".lipsync").symlink_to(service.layout.root)
    assert (lipsync.folder / ".lipsync" / LEDGER_FILE_NAME).stat().st_mode & 0o777 == 0o600
    reported = json.loads(lipsync("report", "--last", "1h", "--format", "json").stdout)
    assert reported["errors"]["NOT_FOUND"] >= 1
    assert "fetch video" in {stage["stage"] for stage in reported["stages"]}


@thorough
def test_the_lines_that_are_printed_start_jobs(
    service: "Service", client: JobClient, lipsync: CommandLine, face: Path, speech: Path
) -> None:
    said = service.stack("up")
    [by_files] = re.findall(r"^  (\S*lipsync submit .*)$", said, re.MULTILINE)
    named = [str(face.parent / word) if word.endswith((".mp4", ".wav")) else word for word in shlex.split(by_files)]
    subprocess.run(named, cwd=service.layout.source, check=True, timeout=120)
    assert (face.parent / "out.mp4").stat().st_size > 0
    service.put(face, "inputs/face.mp4")
    service.put(speech, "inputs/speech.wav")
    [over_rest] = re.findall(r"^  id=.*\n.*\n.*$", said, re.MULTILINE)
    answer = subprocess.run(["bash", "-c", over_rest], capture_output=True, text=True, check=True, timeout=60)
    assert client.wait(UUID(json.loads(answer.stdout)["id"])).state == "completed"


@pytest.mark.usefixtures("bulk_is_held")
def test_what_gives_access_is_told_to_nobody(client: JobClient, lipsync: CommandLine) -> None:
    secrets = {
        "video": "https://example.com/face.mp4?X-Amz-Signature=secret",
        "callback_url": "https://name:secret@example.com/done?token=secret",
    }
    job_id = client.submit(wanted(**secrets)).job_id
    shown = [lipsync("jobs", "show", str(job_id), *form).stdout for form in ((), ("--json",))]
    shown += [lipsync("jobs", "list", "--json").stdout, repr(client.job(job_id)), repr(client.jobs(JobQuery()))]
    assert all("https://example.com/face.mp4" in text for text in shown)
    assert not any("secret" in text for text in shown)
    client.cancel(job_id)


def test_a_job_that_nobody_knows_is_not_found(client: JobClient, lipsync: CommandLine) -> None:
    nobody = uuid4()
    for ask in (client.job, client.cancel, client.retry, client.wait):
        with pytest.raises(JobMissingError, match=str(nobody)):
            ask(nobody)
    for command in ("show", "cancel", "retry", "wait"):
        done = lipsync("jobs", command, str(nobody), status=2)
        assert (
            done.stderr == f"lipsync: error JOB_NOT_FOUND: the service knows no job {nobody}; see: lipsync jobs list\n"
        )
