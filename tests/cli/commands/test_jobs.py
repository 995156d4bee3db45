"""The output of `lipsync jobs` and of the commands that wait."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import click
import pytest

pytest.importorskip("prefect", reason="jobs need the extra 'service'")
from lipsync_cli.commands.jobs import Since
from lipsync_cli.progress.steps import Step, StepLines, shown_steps
from lipsync_cli.render.job_table import JobDetails, details_fields, render_details, render_list
from lipsync_service.client.job import Job, job_of
from lipsync_service.client.prefect_api import FlowRun, TaskRun
from lipsync_service.client.run_states import RunState
from lipsync_service.ledger.rows import JobRow, JobState
from lipsync_service.names import DUPLICATE
from lipsync_service.result_facts import NO_FACTS
from tasks.handover import duplicate_state
from tests.service.test_result_facts import JUDGED
from tests.text_tables import cells

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("12345678-1234-1234-1234-123456789012")


def job(type_: str, message: str = "", name: str = "", **parameters: object) -> Job:
    state = RunState(type_, name or type_.title(), message, START)
    request = {"video": "s3://in/v.mp4", "audio": "s3://in/a.wav", "output": "s3://out/o.mp4", **parameters}
    return job_of(
        FlowRun(ID, "o-12345678", state, {"request": request}, 1, "bulk", "lipsync-cpu", START, START, START, ran_s=2.5)
    )


@pytest.mark.parametrize(
    ("type_", "message", "state", "code"),
    [
        ("SCHEDULED", "", "scheduled", None),
        ("PENDING", "", "accepted", None),
        ("RUNNING", "", "running", None),
        ("CANCELLING", "", "running", None),
        ("COMPLETED", "All states completed.", "completed", None),
        ("FAILED", "NO_FACE: face.mp4: no face; show one", "failed", "NO_FACE"),
        ("FAILED", "Flow run encountered an exception: ValueError: boom", "failed", "INTERNAL"),
        ("FAILED", "NEW_CODE: of a later version", "failed", "INTERNAL"),
        ("CRASHED", "the process\nvanished", "failed", "JOB_CRASHED"),
        ("CANCELLED", "", "cancelled", "JOB_CANCELLED"),
    ],
)
def test_states_are_the_ledgers_and_codes_are_parsed(type_: str, message: str, state: str, code: str | None) -> None:
    found = job(type_, message)
    assert (found.state, found.error_code) == (state, code)
    assert found.is_final == (state in ("completed", "failed", "cancelled")) == (found.finished_at is not None)
    if message.startswith("N"):
        assert message.removeprefix("NO_FACE: ") in str(found.error)
    assert "\n" not in str(found.error)


def test_a_message_keeps_no_signature() -> None:
    said = "Flow run encountered an exception: E: https://me:secret@host/v.mp4?X=secret and s3://in/v.mp4; again"
    found = job("FAILED", said)
    assert found.message == "Flow run encountered an exception: E: https://host/v.mp4 and s3://in/v.mp4; again"
    assert "secret" not in str(found.error)


def test_a_job_that_did_nothing_names_the_one_that_does_it() -> None:
    same = uuid4()
    message = duplicate_state(same, JobRow(same, 1, JobState.FAILED, error_code="NO_FACE")).message or ""
    found = job("FAILED", message, name=DUPLICATE)
    assert (found.same_as, found.error_code) == (same, "NO_FACE")
    assert job("COMPLETED", duplicate_state(same, None).message or "", name=DUPLICATE).same_as == same
    assert job("COMPLETED", message).same_as is None


def test_a_request_that_this_version_does_not_know_is_none() -> None:
    assert job("COMPLETED", colour="red").request is None
    assert "none that this version knows" in render_details(
        JobDetails(job("COMPLETED", colour="red"), [], [], NO_FACTS)
    )


def test_a_job_shows_its_options_also_those_without_a_value() -> None:
    plain = " ".join(render_details(JobDetails(job("RUNNING"), [], [], NO_FACTS)).split())
    assert "face largest" in plain and "fps the source's" in plain and "max_size level 5.2's" in plain
    assert "video_track the file's own choice, audio_track the file's own choice" in plain
    chosen = job("RUNNING", audio_track="de", max_size="640x360", keep_depth=True, fps="25")
    told = " ".join(render_details(JobDetails(chosen, [], [], NO_FACTS)).split())
    assert "keep_depth on" in told and "max_size 640x360" in told and "fps 25" in told and "audio_track de" in told


def test_a_list_fits_a_terminal() -> None:
    failed = job("FAILED", "MEDIA_UNREADABLE: no media")
    text = render_list([failed, job("RUNNING")], width=80)
    assert [row[-2:] for row in cells(text)[1:]] == [["failed", "MEDIA_UNREADABLE"], ["running", "o-12345678"]]
    assert max(map(len, text.splitlines())) <= 80
    assert max(map(len, render_list([failed], width=60).splitlines())) == 60


def test_a_strict_job_says_so() -> None:
    texts = [
        render_details(JobDetails(job("SCHEDULED", **given), [], [], NO_FACTS)) for given in ({}, {"strict": True})
    ]
    assert ["strict" in text.split() for text in texts] == [False, True]


def test_details_tell_tasks_and_timings() -> None:
    tasks = [TaskRun("track", "Cached", START, 0.25), TaskRun("encode", "Running", START, 0.0)]
    timings = [{"stage": "encode", "wall s": 1.5, "CPU s": 1.0, "items": 25, "note": ""}]
    model = {"part": "model", "chosen": "viseme/1", "reason": "asked for"}
    details = JobDetails(job("COMPLETED", crf=18), tasks, timings, JUDGED.facts, model)
    text = render_details(details)
    rows = cells(text)
    assert ["state", "completed, attempt 1"] in rows
    assert ["track", "cached", "0.25"] in rows
    assert ["encode", "stopped", "0.00"] in rows
    assert ["encode", "1.50", "1.00", "25"] in rows
    assert ["pool", "lipsync-cpu"] in rows
    assert ["model", "viseme/1, asked for"] in rows
    assert ["warnings", "FACE_SMALL, TOO_DARK"] in rows
    assert {name: details_fields(details)[name] for name in JUDGED.facts.as_json()} == JUDGED.facts.as_json()
    assert {"pool": "lipsync-cpu", "model": "viseme/1"}.items() <= details_fields(details).items()
    assert max(map(len, text.splitlines())) <= 80


def test_details_of_a_job_that_has_not_chosen_its_model_show_none() -> None:
    details = JobDetails(job("SCHEDULED"), [], [], NO_FACTS)
    assert details_fields(details)["model"] is None
    assert not [row for row in cells(render_details(details)) if row[0] == "model"]


def test_since_is_a_span_or_a_date() -> None:
    day = Since().convert("2026-03-01T12:00Z", None, None)
    assert day == START
    before = datetime.now(UTC)
    assert before <= Since().convert("90m", None, None) + timedelta(minutes=90) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "soon", "7y", "12"])
def test_since_fails_when_it_is_neither(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Since().convert(text, None, None)


def test_steps_are_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show = StepLines()
    for step in (Step("queued"), Step("queued"), *(Step("encode", percent) for percent in range(100)), Step("upload")):
        show(step)
    assert capsys.readouterr().err == "queued\nencode: 0 %\nupload\n"


def test_quiet_shows_no_step(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_steps(is_quiet=True) as show:
        show(Step("queued"))
    with shown_steps(is_quiet=False) as show:
        show(Step("queued"))
    assert capsys.readouterr().err == "queued\n"
