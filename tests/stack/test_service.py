"""Whole jobs through the real service: started over REST, read through the API, compared with the command line's."""

import json
import os
import signal
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from infra.local.layout import BUCKET
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.provenance.verification import verification_of
from lipsync_core.workspace import Workspace
from lipsync_service.result_facts import ResultFacts
from tests.encoder_stand_ins import nvenc_works
from tests.jobs import assert_equal_frames

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Service

STAGES = {"fetch video", "fetch audio", "check", "plan", "blend", "encode", "score", "sign", "upload"}


def test_a_job_over_rest_gives_the_frames_of_the_command_line(
    service: "Service", face: Path, speech: Path, tmp_path: Path, workspace: Workspace
) -> None:
    request = {
        "video": service.put(face, "inputs/face.mp4"),
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://lipsync/outputs/face.mp4",
    }
    run = service.run(request)
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    states = service.task_states(run["id"])
    assert {name: states.get(name) for name in STAGES} == dict.fromkeys(STAGES, "Completed")
    [child] = service.children(run["id"])
    assert service.finished(child["id"])["state"]["name"] == "Completed"
    stages = {"fetch video", "fetch audio", "listen", "track", "infer", "hand over"}
    assert set(service.task_states(child["id"])) == stages
    assert_accounted(service, run["id"])
    lip_sync(face, speech, tmp_path / "local.mp4", workspace=workspace)
    assert_equal_frames(service.get("outputs/face.mp4", tmp_path / "remote.mp4"), tmp_path / "local.mp4")
    found = verification_of(tmp_path / "remote.mp4")
    assert (found.state, found.title, found.sources[0].title) == ("intact", "face.mp4", "face.mp4")
    query = "SELECT provenance, score FROM jobs WHERE id = %s"
    [(provenance, score)] = service.ledger(query, run["id"])
    assert provenance == f"signed by {found.signer}"
    assert "by its own curves, offset" in score
    facts = ResultFacts.of_rows(service.artifacts(run["id"])["result"]["data"])
    assert (facts.score, facts.signer, facts.warnings) == (score, found.signer, "")
    assert facts.sync_score is not None and facts.worst_last_frame is not None


def test_a_job_that_asks_for_no_signature_gets_none_and_the_ledger_says_so(
    service: "Service", face: Path, speech: Path, tmp_path: Path
) -> None:
    request = {
        "video": service.put(face, "inputs/face.mp4"),
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://lipsync/outputs/plain.mp4",
        "provenance": False,
    }
    run = service.run(request)
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    assert "sign" not in service.task_states(run["id"])
    assert verification_of(service.get("outputs/plain.mp4", tmp_path / "plain.mp4")).state == "none"
    query = "SELECT provenance FROM jobs WHERE id = %s"
    assert service.ledger(query, run["id"]) == [("not signed, as was asked for",)]


def test_a_strict_job_ends_before_the_work_and_says_why(service: "Service", face: Path, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    request = {
        "video": service.put(face, "inputs/face.mp4"),
        "audio": service.put(tmp_path / "silence.wav", "inputs/silence.wav"),
        "output": "s3://lipsync/outputs/strict.mp4",
        "strict": True,
    }
    run = service.run(request)
    assert str(run["state"]["message"]).startswith("PREFLIGHT_WARNING: the preflight warns: AUDIO_SILENT (")
    assert service.children(run["id"]) == []
    assert "AUDIO_SILENT" in json.dumps(service.artifacts(run["id"])["preflight"])
    query = "SELECT state, error_code, warnings FROM jobs WHERE id = %s"
    assert service.ledger(query, run["id"]) == [("failed", "PREFLIGHT_WARNING", "AUDIO_SILENT")]


def test_a_second_sound_for_the_same_video_is_not_tracked_again(
    service: "Service", ffmpeg: "Ffmpeg", face: Path, speech: Path, tmp_path: Path
) -> None:
    """Neither a shorter nor a longer one."""
    others = {"shorter": tmp_path / "shorter.wav", "longer": tmp_path / "longer.wav"}
    ffmpeg("-i", speech, "-t", "1", others["shorter"])
    ffmpeg("-stream_loop", "1", "-i", speech, others["longer"])
    video = service.put(face, "inputs/face.mp4")
    for name, audio in {"first": speech, **others}.items():
        output = f"s3://lipsync/outputs/{name}.mp4"
        run = service.run({"video": video, "audio": service.put(audio, f"inputs/{name}.wav"), "output": output})
        assert run["state"]["name"] == "Completed", service.logs(run["id"])
        [child] = service.children(run["id"])
        if name == "first":
            continue
        service.finished(child["id"])
        assert service.task_states(child["id"])["track"] == "Cached"
        assert service.ledger("SELECT track_was_cached FROM jobs WHERE id = %s", run["id"]) == [(True,)]
        query = "SELECT was_cached, items FROM stage_timings WHERE stage = 'track' AND part_of = '' AND job_id = %s"
        assert service.ledger(query, run["id"]) == [(True, 0)]


def test_a_job_that_could_not_upload_renders_nothing_twice(
    service: "Service", face: Path, speech: Path, tmp_path: Path, workspace: Workspace
) -> None:
    """The service does not keep a result that the caller has."""
    service.s3.create_bucket(Bucket="locked")
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::locked/*"}
    service.s3.put_bucket_policy(Bucket="locked", Policy=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
    request = {
        "video": service.put(face, "inputs/face.mp4"),
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://locked/out.mp4",
    }
    run = service.run(request)
    assert str(run["state"]["message"]).startswith("ACCESS_DENIED: s3://locked/out.mp4: ")
    kept = {"Bucket": BUCKET, "Prefix": f"work/renders/{run['id']}"}
    assert service.s3.list_objects_v2(**kept)["KeyCount"] == 1
    service.s3.delete_bucket_policy(Bucket="locked")
    again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    service.api.post(f"/flow_runs/{run['id']}/set_state", json=again).raise_for_status()
    assert service.finished(run["id"])["state"]["type"] == "COMPLETED"
    query = "SELECT stage FROM stage_timings WHERE was_cached AND attempt = 2 AND part_of = '' AND job_id = %s"
    assert {stage for (stage,) in service.ledger(query, run["id"])} == {
        "listen",
        "track",
        "infer",
        "blend",
        "encode",
        "score",
        "sign",
    }
    assert service.s3.list_objects_v2(**kept)["KeyCount"] == 0
    result = tmp_path / "out.mp4"
    service.s3.download_file("locked", "out.mp4", str(result))
    lip_sync(face, speech, tmp_path / "local.mp4", workspace=workspace)
    assert_equal_frames(result, tmp_path / "local.mp4")


def test_presigned_addresses_serve_and_are_told_to_nobody(service: "Service", face: Path, speech: Path) -> None:
    service.put(face, "private/face.mp4")
    service.put(speech, "private/speech.wav")
    request = {
        "video": service.presigned("GET", "private/face.mp4"),
        "audio": service.presigned("GET", "private/speech.wav"),
        "output": service.presigned("PUT", "private/out.mp4"),
    }
    run = service.run(request)
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    assert service.s3.head_object(Bucket="lipsync", Key="private/out.mp4")["ContentLength"] > 0
    [child] = service.children(run["id"])
    told = [service.logs(run["id"]), service.logs(child["id"]), json.dumps(service.artifacts(run["id"]))]
    told += [str(service.ledger("SELECT * FROM jobs WHERE id = %s", run["id"])), *service.printed()]
    assert "private/out.mp4" in "".join(told)
    for text in told:
        assert "X-Amz-Signature" not in text


def test_a_key_stands_for_one_request(service: "Service", face: Path, speech: Path) -> None:
    request = {
        "video": service.put(face, "inputs/face.mp4"),
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://lipsync/outputs/keyed.mp4",
        "idempotency_key": "order 66",
    }
    first = service.run(request)
    assert first["state"]["name"] == "Completed", service.logs(first["id"])
    again = service.run(request)
    assert again["id"] != first["id"]
    assert (again["state"]["type"], again["state"]["name"]) == ("COMPLETED", "Duplicate")
    assert first["id"] in again["state"]["message"]
    assert service.task_states(again["id"]) == {}
    other = service.run({**request, "crf": 30})
    assert other["state"]["message"].startswith("IDEMPOTENCY_CONFLICT: ")
    assert service.task_states(other["id"]) == {}


def test_the_same_key_again_fails_as_its_job_failed(service: "Service", speech: Path) -> None:
    request = {
        "video": "s3://lipsync/inputs/no-such-file.mp4",
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://lipsync/outputs/none.mp4",
        "idempotency_key": "to fail",
    }
    first, again = service.run(request), service.run(request)
    assert (again["state"]["type"], again["state"]["name"]) == ("FAILED", "Duplicate")
    assert again["state"]["message"].startswith("NOT_FOUND: ")
    assert first["id"] in again["state"]["message"]


def test_a_bulk_job_waits_in_the_queue_for_bulk_jobs_of_the_gpu_pool(
    service: "Service", face: Path, speech: Path
) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    run = service.run({"video": video, "audio": audio, "output": "s3://lipsync/outputs/a.mp4", "priority": "bulk"})
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    assert [child["work_queue_name"] for child in service.children(run["id"])] == ["bulk"]


def test_a_job_fails_before_any_work_when_its_output_has_no_place(service: "Service", face: Path, speech: Path) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    run = service.run({"video": video, "audio": audio, "output": "http://127.0.0.1:9/out.mp4"})
    assert run["state"]["message"].startswith("URL_REFUSED: ")
    assert service.task_states(run["id"]) == {}


@pytest.mark.parametrize("host", ["127.0.0.1:9", "169.254.169.254", "[fd00:ec2::254]", "2130706433"])
def test_a_job_fails_before_any_work_when_its_callback_has_an_address_that_is_never_called(
    host: str, service: "Service", face: Path, speech: Path
) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    output = "s3://lipsync/outputs/never.mp4"
    run = service.run({"video": video, "audio": audio, "output": output, "callback_url": f"http://{host}/hook"})
    assert run["state"]["message"].startswith("URL_REFUSED: ")
    assert service.task_states(run["id"]) == {}


def test_a_job_fails_when_an_input_plays_for_too_long(
    service: "Service", ffmpeg: "Ffmpeg", face: Path, tmp_path: Path
) -> None:
    silence = tmp_path / "long.wav"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=sample_rate=8000:channel_layout=mono", "-t", "310", "-c:a", "pcm_u8", silence)
    video, audio = service.put(face, "inputs/face.mp4"), service.put(silence, "inputs/silence.wav")
    run = service.run({"video": video, "audio": audio, "output": "s3://lipsync/outputs/none.mp4"})
    assert run["state"]["message"].startswith("LIMIT_DURATION: ")
    assert service.children(run["id"]) == []


def test_inputs_are_decoded_by_processes_that_can_do_nothing_else(service: "Service", face: Path, speech: Path) -> None:
    video, audio = service.put(face, "inputs/apart.mp4"), service.put(speech, "inputs/apart.wav")
    seen: set[str] = set()
    with watching(lambda: seen.update(file for _, file in confined_readers())):
        run = service.run({"video": video, "audio": audio, "output": "s3://lipsync/outputs/apart.mp4"})
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    assert len(seen) >= 2  # the video and the sound


def test_a_job_outlives_the_processes_that_read_its_inputs(
    service: "Service", face: Path, speech: Path, tmp_path: Path, workspace: Workspace
) -> None:
    video, audio = service.put(face, "inputs/killed.mp4"), service.put(speech, "inputs/killed.wav")
    killed: set[int] = set()

    def kill_one_more() -> None:
        stages = len(killed)  # one for each of the first stages, and one while frames are blended
        for process, _ in list(confined_readers()):
            if stages < 3 and process not in killed:
                killed.add(process)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                return

    with watching(kill_one_more):
        run = service.run({"video": video, "audio": audio, "output": "s3://lipsync/outputs/killed.mp4", "crf": 30})
    assert len(killed) == 3
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    lip_sync(face, speech, tmp_path / "local.mp4", JobOptions(crf=30), workspace)
    assert_equal_frames(service.get("outputs/killed.mp4", tmp_path / "killed.mp4"), tmp_path / "local.mp4")


@contextmanager
def watching(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` again and again during the block."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.002):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def confined_readers() -> Iterator[tuple[int, str]]:
    """Each copy of an input that a process under a filter of system calls has open just now, with the process."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if "\nSeccomp:\t2\n" in (process / "status").read_text():
                names = [str(each.readlink()) for each in (process / "fd").iterdir()]
                yield from ((int(process.name), name) for name in names if "/cache/" in name)


def test_a_job_makes_hevc_and_ledger_and_log_name_the_encoder(
    service: "Service", face: Path, speech: Path, tmp_path: Path
) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    run = service.run({"video": video, "audio": audio, "output": "s3://lipsync/outputs/hevc.mov", "codec": "hevc"})
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    with av.open(str(service.get("outputs/hevc.mov", tmp_path / "hevc.mov"))) as movie:
        codec = movie.streams.video[0].codec_context
        assert (codec.name, codec.codec_tag) == ("hevc", "hvc1")
    [(encoder,)] = service.ledger("SELECT encoder FROM jobs WHERE id = %s", run["id"])
    assert encoder in ("x265", "hevc_nvenc")
    service.wait_for_log(run["id"], f"encoder {encoder}: ")


@pytest.mark.skipif(nvenc_works(), reason="this machine has NVENC")
def test_a_job_fails_before_any_work_when_its_encoder_is_not_on_the_worker(
    service: "Service", face: Path, speech: Path
) -> None:
    video, audio = service.put(face, "inputs/face.mp4"), service.put(speech, "inputs/speech.wav")
    output = "s3://lipsync/outputs/none.mp4"
    run = service.run({"video": video, "audio": audio, "output": output, "encoder": "nvenc"})
    assert run["state"]["message"].startswith("BAD_OPTION: encoder nvenc cannot make h264 here: ")
    assert service.children(run["id"]) == []


def test_a_job_fails_with_the_code_of_its_child_when_there_is_no_face(
    service: "Service", ffmpeg: "Ffmpeg", speech: Path, tmp_path: Path
) -> None:
    blank = tmp_path / "blank.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=160x120:rate=25", "-frames:v", "10", blank)
    run = service.run(
        {
            "video": service.put(blank, "inputs/blank.mp4"),
            "audio": service.put(speech, "inputs/speech.wav"),
            "output": "s3://lipsync/outputs/none.mp4",
        }
    )
    [child] = service.children(run["id"])
    for state in (run["state"], child["state"]):
        assert state["type"] == "FAILED"
        assert state["message"].startswith("NO_FACE: ")
    assert "upload" not in service.task_states(run["id"])


def test_a_failure_names_the_file_as_the_caller_did(service: "Service", face: Path, speech: Path) -> None:
    sound, video = service.put(speech, "inputs/speech.wav"), service.put(face, "inputs/face.mp4")
    output = "s3://lipsync/outputs/none.mp4"
    run = service.run({"video": video, "audio": video, "output": output})
    assert run["state"]["message"].startswith(f"NO_AUDIO: {video} ")
    run = service.run({"video": sound, "audio": sound, "output": output})
    assert run["state"]["message"].startswith(f"NO_VIDEO: {sound} ")
    assert service.children(run["id"]) == []


def test_a_job_fails_at_once_when_its_video_is_missing(service: "Service", speech: Path) -> None:
    request = {
        "video": "s3://lipsync/inputs/no-such-file.mp4",
        "audio": service.put(speech, "inputs/speech.wav"),
        "output": "s3://lipsync/outputs/none.mp4",
    }
    run = service.run(request)
    assert run["state"]["message"].startswith("NOT_FOUND: ")
    assert service.children(run["id"]) == []


@pytest.mark.parametrize("change", [{"crf": 99}, {"output": "s3://lipsync/outputs/face.avi"}, {"colour": "red"}])
def test_a_job_fails_before_any_work_when_the_request_is_out_of_bounds(service: "Service", change: dict) -> None:
    request = {"video": "s3://a/v.mp4", "audio": "s3://a/a.wav", "output": "s3://a/o.mp4", **change}
    found = service.api.get("/deployments/name/lipsync/lipsync").json()
    answer = service.api.post(f"/deployments/{found['id']}/create_flow_run", json={"parameters": {"request": request}})
    if answer.status_code != 409:  # the run reports the faults that no schema can express
        run = service.finished(answer.json()["id"])
        assert run["state"]["type"] == "FAILED"
        assert service.task_states(run["id"]) == {}


def test_a_manifest_is_submitted_once_and_fails_when_a_row_holds_no_request(service: "Service", tmp_path: Path) -> None:
    row = {"video": "s3://lipsync/none.mp4", "audio": "s3://lipsync/none.wav", "output": "s3://lipsync/outputs/b.mp4"}
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(
        "\n".join(json.dumps(each) for each in (row, {**row, "output": "s3://lipsync/c.mp4"}, {**row, "crf": 99}))
    )
    address = service.put(manifest, "bulk/manifest.jsonl")
    submitted = []
    for _ in range(2):
        run = service.finished(service.start_with({"manifest": address}, "lipsync-bulk/lipsync-bulk"))
        assert run["state"]["message"].startswith("INPUT_INVALID: 1 of 3 rows")
        submitted.append([line["run"] for line in table_rows(service.artifacts(run["id"])["submitted"])])
    assert submitted[0] == submitted[1]
    first, second, third = submitted[0]
    assert third == ""
    assert first != second
    for run_id in (first, second):
        run = service.finished(run_id)
        assert run["work_queue_name"] == "bulk"
        assert run["state"]["message"].startswith("NOT_FOUND: ")


def test_the_nightly_schedule_is_off_until_somebody_turns_it_on(service: "Service") -> None:
    found = service.api.get("/deployments/name/lipsync-bulk/lipsync-bulk").json()
    assert [schedule["active"] for schedule in found["schedules"]] == [False]


def assert_accounted(service: "Service", run_id: str) -> None:
    """The ledger and the artifacts tell of the whole job, the part on the GPU pool included."""
    query = "SELECT state, model, video_url, output_bytes > 0 FROM jobs WHERE id = %s"
    assert service.ledger(query, run_id) == [("completed", "viseme/2", "s3://lipsync/inputs/face.mp4", True)]
    query = "SELECT stage, pool FROM stage_timings WHERE part_of = '' AND job_id = %s"
    pools = dict(service.ledger(query, run_id))
    assert pools["track"] == pools["infer"] == "lipsync-gpu"
    assert {stage for stage, pool in pools.items() if pool == "lipsync-cpu"} == STAGES
    query = "SELECT cpu_s FROM jobs WHERE id = %s"
    [(whole_s,)] = service.ledger(query, run_id)
    query = "SELECT sum(cpu_s) FROM stage_timings WHERE part_of = '' AND pool = 'lipsync-cpu' AND job_id = %s"
    [(stages_s,)] = service.ledger(query, run_id)
    assert 0 < stages_s < whole_s  # which also started, imported and reported
    query = "SELECT sum(frames) FROM frame_outcomes WHERE job_id = %s"
    [(frames,)] = service.ledger(query, run_id)
    assert frames == 38  # 1.5 s at 25 a second
    artifacts = service.artifacts(run_id)
    assert "progress" not in artifacts  # which a job of a second does not need
    assert "](data:image/jpeg;base64," in artifacts["preview"]["data"]
    assert artifacts["output"]["data"] == "[s3://lipsync/outputs/face.mp4](s3://lipsync/outputs/face.mp4)"
    assert {"fetch video", "blend", "encode", "upload"} <= {
        row["stage"] for row in table_rows(artifacts["timing-breakdown"])
    }


def table_rows(artifact: dict) -> list[dict]:
    data = artifact["data"]
    return json.loads(data) if isinstance(data, str) else data
