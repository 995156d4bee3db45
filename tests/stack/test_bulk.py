"""Manifests against the real service: a whole one, the same again, and its failed rows run again."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME
from tests.stack.command_line import CommandLine, error_line
from tests.stack.test_service import table_rows

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Service

GOOD = 5
BAD_URL, NO_FACE, DUPLICATE = GOOD + 2, GOOD + 3, GOOD + 4  # numbers of lines; the header is the first


@pytest.fixture
def lipsync(service: "Service", tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, service.layout.root / FILE_NAME)


@pytest.fixture
def manifest(ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, tmp_path: Path) -> Path:
    """Eight rows beside files of 0.6 s: one names an address that is not there, one shows no face, one comes twice."""
    folder = tmp_path / "rows"
    (folder / "out").mkdir(parents=True)
    ffmpeg("-i", face_clip, "-t", "0.6", "-an", "-vf", "scale=256:-2", "-preset", "ultrafast", folder / "face.mp4")
    ffmpeg("-i", speech_wav, "-t", "0.6", folder / "speech.wav")
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=160x120:rate=25", "-frames:v", "5", folder / "blank.mp4")
    rows = [
        {"video": "face.mp4", "audio": "speech.wav", "output": f"out/{crf}.mp4", "crf": crf}
        for crf in range(20, 20 + GOOD)
    ]
    rows += [
        {**rows[0], "video": "s3://lipsync/inputs/gone.mp4", "output": "out/gone.mp4"},
        {**rows[0], "video": "blank.mp4", "output": "out/blank.mp4"},
        {**rows[0], "output": "out/again.mp4"},
    ]
    path = folder / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def jobs_of(service: "Service") -> int:
    asked = {"flows": {"name": {"any_": ["lipsync"]}}}
    count: int = service.api.post("/flow_runs/count", json=asked).raise_for_status().json()
    return count


def by_row(report: Any) -> dict[int, Any]:
    return {row["row"]: row for row in report["rows"]}


def test_a_whole_manifest(service: "Service", lipsync: CommandLine, manifest: Path) -> None:
    before = jobs_of(service)
    first = lipsync.json("batch", manifest, status=10)
    failed = {"failed": 2, "failed_by_code": {"NOT_FOUND": 1, "NO_FACE": 1}}
    counts = {"rows": GOOD + 3, "completed": GOOD, "already_done": 0, "submitted": 0, "deduplicated": 1, "invalid": 0}
    assert first["summary"] == {**counts, **failed}
    rows = by_row(first)
    assert (rows[BAD_URL]["code"], rows[NO_FACE]["code"]) == ("NOT_FOUND", "NO_FACE")
    assert (rows[DUPLICATE]["same_as"], rows[DUPLICATE]["job"]) == (2, rows[2]["job"])
    assert jobs_of(service) - before == GOOD + 2
    outputs = sorted((manifest.parent / "out").iterdir())
    assert len(outputs) == GOOD + 1  # the row that comes twice has a file of its own, of the same job
    assert all(frame_count(path) == 15 for path in outputs)
    assert service.finished(rows[2]["job"])["work_queue_name"] == "bulk"

    outputs[0].unlink()
    second = lipsync.json("batch", manifest, status=10)
    assert second["summary"] == {**counts, "completed": 0, "already_done": GOOD, **failed}
    assert outputs[0].exists()  # a missing result is downloaded again
    third = lipsync.json("batch", manifest, "--retry-failed", status=10)
    assert third["summary"] == second["summary"]
    assert jobs_of(service) - before == GOOD + 2
    attempts = {number: row["attempt"] for number, row in by_row(third).items()}
    assert attempts == {number: 2 if number in (BAD_URL, NO_FACE) else 1 for number in rows}
    assert {number: row["job"] for number, row in by_row(third).items()} == {
        number: row["job"] for number, row in rows.items()
    }


def frame_count(path: Path) -> int:
    with av.open(str(path)) as movie:
        return sum(1 for _ in movie.decode(video=0))


def test_rows_that_are_wrong_do_not_stop_the_others(lipsync: CommandLine, service: "Service") -> None:
    good = {"video": "s3://lipsync/n.mp4", "audio": "s3://lipsync/n.wav", "output": "s3://lipsync/outputs/w.mp4"}
    other = {**good, "output": "s3://lipsync/outputs/w2.mp4", "idempotency_key": "taken"}
    rows = [good, {**good, "crf": 99}, other, {**other, "crf": 21, "output": "s3://lipsync/outputs/w3.mp4"}]
    (lipsync.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    before = jobs_of(service)
    done = lipsync("batch", "rows.jsonl", "--no-wait", status=10)
    assert done.stdout.startswith("4 rows\n2 submitted\n2 invalid\n\nrow 2  INPUT_INVALID\n  crf: ")
    assert "row 4  INPUT_INVALID\n  idempotency_key: row 3 has the same" in done.stdout
    assert error_line(done) == (
        "lipsync: error BATCH_INCOMPLETE: 2 of 4 rows have no output; "
        "correct them, or run failed jobs again with --retry-failed"
    )
    assert jobs_of(service) - before == 2


def test_a_manifest_in_the_storage_says_what_became_of_each_row(service: "Service", tmp_path: Path) -> None:
    row = {"video": "s3://lipsync/m.mp4", "audio": "s3://lipsync/m.wav", "output": "s3://lipsync/outputs/m.mp4"}
    (tmp_path / "twice.jsonl").write_text("\n".join(map(json.dumps, [row, row])))
    address = service.put(tmp_path / "twice.jsonl", "bulk/twice.jsonl")
    fates = []
    for retry_failed in (False, False, True):
        parameters = {"manifest": address, "retry_failed": retry_failed}
        run = service.finished(service.start_with(parameters, "lipsync-bulk/lipsync-bulk"))
        assert run["state"]["name"] == "Completed", service.logs(run["id"])
        table = table_rows(service.artifacts(run["id"])["submitted"])
        fates.append([line["fate"] for line in table])
        [job_id] = {line["run"] for line in table}
        assert service.finished(job_id)["state"]["message"].startswith("NOT_FOUND: ")
    assert fates == [["new", "deduplicated"], ["known", "deduplicated"], ["retried", "deduplicated"]]
    assert service.finished(job_id)["run_count"] == 2


def test_a_row_that_somebody_else_has_submitted_is_that_job(service: "Service", lipsync: CommandLine) -> None:
    row = {"video": "s3://lipsync/e.mp4", "audio": "s3://lipsync/e.wav", "output": "s3://lipsync/outputs/e.mp4"}
    request = {**row, "idempotency_key": "over-rest", "priority": "bulk"}
    run = service.run(request)  # under the ledger's key alone: Prefect has heard of none
    assert run["state"]["message"].startswith("NOT_FOUND: ")
    (lipsync.folder / "rows.jsonl").write_text(json.dumps(request))
    [found] = lipsync.json("batch", "rows.jsonl", status=10)["rows"]
    assert (found["job"], found["code"]) == (run["id"], "NOT_FOUND")
