"""`lipsync plan`: text, JSON, a page, both files, and options that cannot be."""

import json
import re
from pathlib import Path

import pytest

from lipsync_core.errors import OutputError
from tests.cli.conftest import RunLipSync

pytest.importorskip("simpy", reason="the capacity plan needs the extra 'service'")
STREAM = ("plan", "--jobs-per-hour", "400", "--clip-seconds", "60", "--costs", "reference")
ONCE = ("plan", "--at-once", "12", "--clip-seconds", "9.3", "--cores", "2", "--costs", "reference")


def test_text_and_json_hold_the_same_plan(lipsync: RunLipSync) -> None:
    answer = json.loads(lipsync(*STREAM, "--json").stdout)
    text = lipsync(*STREAM).stdout
    assert answer["schema"] == "lipsync.plan/1"
    assert f"{answer['per_video_minute']:.4f} USD a minute of video" in text
    assert f"{answer['binding']} bind" in text
    assert f"next are {answer['next_binding']}" in text
    assert answer["resources"][0]["load"] <= 0.7
    assert answer["simulation"]["jobs"] > 1000


def test_an_edited_price_changes_the_cost(lipsync_here: RunLipSync, tmp_path: Path) -> None:
    assert lipsync_here("plan", "--write-prices", "prices.toml").returncode == 0
    prices = tmp_path / "prices.toml"
    same = json.loads(lipsync_here(*STREAM, "--prices", prices, "--json").stdout)
    assert same == json.loads(lipsync_here(*STREAM, "--json").stdout)
    prices.write_text(
        re.sub(r"(price_per_hour = )([\d.]+)", lambda found: found[1] + str(2 * float(found[2])), prices.read_text())
    )
    dearer = json.loads(lipsync_here(*STREAM, "--prices", prices, "--json").stdout)
    assert dearer["per_video_minute"] == pytest.approx(2 * same["per_video_minute"])


def test_writing_prices_fails_when_the_file_is_there_and_keeps_it(lipsync_here: RunLipSync, tmp_path: Path) -> None:
    edited = tmp_path / "prices.toml"
    edited.write_text("# mine\n")
    done = lipsync_here("plan", "--write-prices", "prices.toml")
    assert done.returncode == OutputError.exit_status and "OUTPUT" in done.stderr and "is there already" in done.stderr
    assert edited.read_text() == "# mine\n"


def test_written_costs_give_the_same_plan(lipsync_here: RunLipSync) -> None:
    first = lipsync_here(*ONCE, "--json", "--write-costs", "costs.toml")
    again = lipsync_here(*ONCE[:-1], "costs.toml", "--json")
    assert first.returncode == again.returncode == 0
    assert json.loads(first.stdout)["simulation"] == json.loads(again.stdout)["simulation"]


def test_a_long_job_takes_less_time_on_more_workers(lipsync: RunLipSync) -> None:
    arguments = ("plan", "--workers", "6", "--clip-seconds", "3600", "--cores", "2", "--costs", "reference")
    answer = json.loads(lipsync(*arguments, "--json").stdout)
    assert [time["workers"] for time in answer["times"]] == [1, 2, 4, 6]
    walls_s = [time["wall_s"] for time in answer["times"]]
    assert walls_s == sorted(walls_s, reverse=True)
    assert answer["parts"] == 60
    text = lipsync(*arguments).stdout
    for time in answer["times"]:
        assert f"{time['wall_s']:.1f} s" in text
    whole = json.loads(lipsync(*arguments, "--segment-seconds", "0", "--json").stdout)
    assert len({time["wall_s"] for time in whole["times"]}) == 1


@pytest.mark.parametrize("arguments", [STREAM, ONCE], ids=["stream", "at once"])
def test_the_page_needs_nothing_else(lipsync_here: RunLipSync, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert lipsync_here(*arguments, "--chart", "plan.html").returncode == 0
    page = (tmp_path / "plan.html").read_text()
    assert page.count("<svg") >= 2
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--jobs-per-hour", "0", "--clip-seconds", "9"), "'--jobs-per-hour'"),
        (("--jobs-per-hour", "-4", "--clip-seconds", "9"), "'--jobs-per-hour'"),
        (("--jobs-per-hour", "nan", "--clip-seconds", "9"), "'--jobs-per-hour'"),
        (("--jobs-per-hour", "1e12", "--clip-seconds", "9"), "'--jobs-per-hour'"),
        (("--jobs-per-hour", "4", "--clip-seconds", "many"), "not a number"),
        (("--jobs-per-hour", "4"), "--clip-seconds"),
        (("--clip-seconds", "9"), "give one of --jobs-per-hour, --at-once and --workers"),
        (("--clip-seconds", "9", "--workers", "2", "--at-once", "3"), "give one of --jobs-per-hour"),
        (("--clip-seconds", "9", "--workers", "2", "--chart", "plan.html"), "--chart does not go with --workers"),
        (("--clip-seconds", "9", "--at-once", "2", "--segment-seconds", "9"), "--segment-seconds does not go with"),
        (("--workers", "2"), "--clip-seconds"),
        (("--at-once", "0", "--clip-seconds", "9"), "'--at-once'"),
        (("--at-once", "4", "--clip-seconds", "9", "--burst", "3"), "--burst does not go with --at-once"),
        (("--jobs-per-hour", "4", "--clip-seconds", "9", "--cores", "3"), "--cores does not go with --jobs-per-hour"),
        (("--jobs-per-hour", "4", "--clip-seconds", "9", "--model", "nobody"), "'nobody'"),
    ],
)
def test_it_fails_when_an_option_cannot_be(lipsync_here: RunLipSync, arguments: tuple[str, ...], fault: str) -> None:
    done = lipsync_here("plan", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("lipsync: error BAD_OPTION: ")
    assert done.stderr.count("\n") == 1
    assert fault in done.stderr
    assert not done.stdout


def test_it_fails_when_the_ledger_that_was_named_is_not_there(lipsync_here: RunLipSync) -> None:
    done = lipsync_here("plan", "--at-once", "4", "--clip-seconds", "9", "--database", "sqlite:///none.sqlite")
    assert done.returncode == 75
    assert "LEDGER_UNAVAILABLE" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "clip_s", "status", "code"),
    [("0.0", "9", 3, "INPUT_INVALID"), ("1e-300", "9", 3, "INPUT_INVALID"), ("1e5", "86400", 2, "BAD_OPTION")],
)
@pytest.mark.parametrize("load", [("--jobs-per-hour", "4"), ("--at-once", "4")])
def test_it_fails_in_one_line_when_no_job_can_have_the_costs(
    lipsync_here: RunLipSync, tmp_path: Path, seconds: str, clip_s: str, status: int, code: str, load: tuple[str, str]
) -> None:
    assert lipsync_here(*ONCE, "--write-costs", "costs.toml").returncode == 0
    path = tmp_path / "costs.toml"
    path.write_text(re.sub(r"((?:cpu|wait|gpu|control)_s = ).*", rf"\g<1>{seconds}", path.read_text()))
    files = ("--chart", "plan.html", "--write-costs", "again.toml")
    done = lipsync_here("plan", *load, "--clip-seconds", clip_s, "--costs", "costs.toml", *files)
    assert done.returncode == status
    assert done.stderr.startswith(f"lipsync: error {code}: ") and done.stderr.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["costs.toml"]


def test_the_page_shows_the_goal_and_names_only_parts_that_are_bought(lipsync_here: RunLipSync, tmp_path: Path) -> None:
    assert lipsync_here(*STREAM, "--p95-seconds", "60", "--chart", "plan.html").returncode == 0
    page = (tmp_path / "plan.html").read_text()
    assert "goal for 95 %: 60.0" in page
    assert "</i>GPU workers" not in page and "</i>everything" in page
    assert lipsync_here(*STREAM, "--chart", "plan.html").returncode == 0
    assert "goal for" not in (tmp_path / "plan.html").read_text()


def test_the_chart_of_steps_has_the_seconds_of_the_gpu(lipsync_here: RunLipSync, tmp_path: Path) -> None:
    answer = lipsync_here(*STREAM, "--model", "wav2lip", "--chart", "plan.html", "--json")
    gpu_s = json.loads(answer.stdout)["costs"]["gpu_s"]
    assert f"<title>GPU: {gpu_s:.2f}</title>" in (tmp_path / "plan.html").read_text()


def test_text_and_json_name_the_other_machines_and_not_the_chosen_one(lipsync: RunLipSync) -> None:
    answer = json.loads(lipsync(*STREAM, "--p95-seconds", "60", "--json").stdout)
    text = lipsync(*STREAM, "--p95-seconds", "60").stdout
    listed = text.partition("other machines, for the goal of 60 s\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) == len(answer["others"]) > 0
    for line, other in zip(listed, answer["others"], strict=True):
        assert other["name"] in line and f"95th percentile {other['p95_s']:.1f} s" in line
        assert other["p95_s"] <= 60
