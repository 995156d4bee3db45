"""`lipsync report`: the same figures as text, Markdown, JSON and a page that needs nothing else."""

import html.parser
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest

from tests.ledger_databases import fresh_postgres  # skips all below where the extra is missing
from tests.servers import starts_servers

# isort: split
pytest.importorskip("pydantic_settings", reason="the ledger needs the extra 'service'")
from lipsync_core.report import FrameCounts, Provenance
from lipsync_service.ledger.database import upgrade
from lipsync_service.ledger.ledger import Ledger
from lipsync_service.ledger.rows import JobAttempt, JobRow, JobState, Row, StageRow, frame_rows
from lipsync_service.result_facts import joined
from tests.cli.conftest import RunLipSync
from tests.cli.test_ledger import gone

START = datetime(2026, 3, 1, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>|"


def rows() -> list[Row]:
    """Four jobs, a day apart: encode takes 1, 2, 3 and 4 s, track 0.5 s and comes from the cache twice."""
    told: list[Row] = []
    for index in range(4):
        ended = START + timedelta(days=index)
        changes = joined(("deinterlaced", "10 to 8 bits", "4:2:2 to 4:2:0", "mirrored", "turned")) if index else ""
        job = JobRow(uuid4(), 1, JobState.COMPLETED, model="viseme/1", pool="cpu", finished_at=ended, changes=changes)
        job = replace(job, warnings=joined(("FACE_SMALL", "TOO_DARK")[:index]), sync_score=0.9 - 0.1 * index)
        job = replace(
            job.with_provenance(Provenance("Studio" if index else "")), score_verdict="low" if index > 2 else None
        )
        track = StageRow(job.job_id, 1, "track", 0.5, 0.5, ended, was_cached=index > 1, pool="gpu")
        encode = StageRow(job.job_id, 1, "encode", 1.0 + index, 1.0, ended, items=280, pool="cpu")
        mux = StageRow(job.job_id, 1, "mux", 0.25, 0.1, ended, part_of="encode", pool="cpu")
        told += [job, track, encode, mux, *frame_rows(JobAttempt(job.job_id), FrameCounts(9, 1, 0))]
    failed = JobRow(uuid4(), 1, JobState.FAILED, error_code=HOSTILE, pool="cpu", finished_at=START)
    return [*told, failed]


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    upgrade(url)
    Ledger(url, tmp_path / "spool").record(*rows())
    return url


@pytest.fixture
def report(lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch) -> RunLipSync:
    """Runs `lipsync report` in the test's folder, with no setting of the user's."""
    for name in os.environ:
        if name.startswith("LIPSYNC_"):
            monkeypatch.delenv(name)
    return partial(lipsync_here, "report")


def test_the_text_holds_the_figures_of_the_ledger(report: RunLipSync, ledger_url: str) -> None:
    done = report("--database", ledger_url)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["encode", "2.50", "3.85", "83.3", "%", "4.00", "4"] in lines
    assert ["mux", "0.25", "0.25", "8.3", "%", "0.40", "4"] in lines
    assert ["track", "0.50", "0.50", "16.7", "%", "2.00", "2", "2"] in lines
    assert "5 jobs: 4 completed, 1 failed" in done.stdout
    assert "36 of 40 frames synced (90.0 %)" in done.stdout
    told = "pictures: 10 to 8 bits (3), 4:2:2 to 4:2:0 (3), deinterlaced (3), mirrored (3), turned (3)"
    assert told in " ".join(done.stdout.split())
    assert "preflight: FACE_SMALL (3), TOO_DARK (2)" in done.stdout
    assert "signatures: signed (3), unsigned (1)" in done.stdout
    assert "sync scores of viseme/1: median 0.75, lowest 0.60, of 4 jobs, 1 too low" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_the_json_holds_the_same(report: RunLipSync, ledger_url: str) -> None:
    fields = json.loads(report("--database", ledger_url, "--format", "json").stdout)
    assert fields["schema"] == "lipsync.timing/1"
    encode = next(stage for stage in fields["stages"] if stage["stage"] == "encode")
    assert (encode["median_s"], encode["p95_s"], encode["runs"]) == (2.5, pytest.approx(3.85), 4)
    assert fields["total_s"] == 12.0
    assert fields["errors"] == {HOSTILE: 1}
    assert fields["changes"] == dict.fromkeys(
        ("10 to 8 bits", "4:2:2 to 4:2:0", "deinterlaced", "mirrored", "turned"), 3
    )


def test_the_json_counts_the_warnings_of_the_preflight(report: RunLipSync, ledger_url: str) -> None:
    fields = json.loads(report("--database", ledger_url, "--format", "json").stdout)
    assert fields["warnings"] == {"FACE_SMALL": 3, "TOO_DARK": 2}


def test_the_json_tells_of_signatures_and_scores(report: RunLipSync, ledger_url: str) -> None:
    fields = json.loads(report("--database", ledger_url, "--format", "json").stdout)
    assert fields["signatures"] == {"signed": 3, "unsigned": 1}
    [scores] = fields["scores"]
    assert scores == {
        "model": "viseme/1",
        "jobs": 4,
        "median": pytest.approx(0.75),
        "lowest": pytest.approx(0.6),
        "low": 1,
    }


def test_the_markdown_is_a_table_that_a_name_cannot_break(report: RunLipSync, ledger_url: str) -> None:
    text = report("--database", ledger_url, "--format", "markdown").stdout
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
    assert table[2] == "| encode | 2.50 | 3.85 | 83.3 % | 4.00 | 4 |  |"


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        (("--since", "2026-03-02T00:00Z"), 3),
        (("--until", "2026-03-02T00:00Z"), 2),
        (("--since", "2026-03-02T00:00+00:00", "--until", "2026-03-03T00:00+00:00"), 1),
        (("--until", "2026-03-04T00:01Z", "--last", "24h"), 1),
        (("--model", "viseme"), 4),
        (("--model", "wav2lip"), 0),
        (("--pool", "gpu"), 4),
    ],
)
def test_the_options_choose_the_jobs(report: RunLipSync, ledger_url: str, options: tuple[str, ...], jobs: int) -> None:
    done = report("--database", ledger_url, "--format", "json", *options)
    assert json.loads(done.stdout)["jobs"] == jobs


class Page(html.parser.HTMLParser):
    """The tags, the text and the addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "action", "style")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_charts_and_table_and_refers_to_nothing(
    report: RunLipSync, ledger_url: str, tmp_path: Path
) -> None:
    done = report("--database", ledger_url, "-o", "report.html")
    assert done.returncode == 0, done.stderr
    source = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(source)
    assert page.tags.count("svg") == 3
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.addresses == []
    assert not re.search(r"url\(|@import", source)
    assert "2.50 s" in page.text and "83.3 %" in page.text
    assert HOSTILE in page.text
    assert "What was changed in all pictures" in page.text and "deinterlaced3" in page.text.replace("\n", "")


@starts_servers
def test_a_browser_draws_the_page(report: RunLipSync, ledger_url: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    report("--database", ledger_url, "-o", "report.html")
    picture_path = tmp_path / "report.png"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,900"]
    folder = f"--user-data-dir={tmp_path / 'profile'}"
    page = (tmp_path / "report.html").as_uri()
    subprocess.run(
        [*command, folder, f"--screenshot={picture_path}", page], check=True, capture_output=True, timeout=90
    )
    picture = cv2.imread(str(picture_path))
    assert picture is not None
    is_coloured = np.ptp(picture, axis=2) > 40  # text and background are grey, the charts are not
    assert np.count_nonzero(is_coloured) > 20_000


def test_an_empty_period_says_so_in_every_format(report: RunLipSync, ledger_url: str) -> None:
    for name in ("text", "markdown", "html"):
        done = report("--database", ledger_url, "--until", "2001-01-01", "--format", name)
        assert done.returncode == 0, done.stderr
        assert "no stage ended in this period" in done.stdout.lower()


def test_the_ledger_is_the_environments_where_none_is_named(report: RunLipSync, ledger_url: str) -> None:
    done = report("--format", "json", LIPSYNC_DATABASE_URL=ledger_url)
    assert json.loads(done.stdout)["jobs"] == 5


@starts_servers
def test_postgresql_gives_the_same_report(report: RunLipSync, ledger_url: str, tmp_path: Path) -> None:
    with fresh_postgres() as url:
        upgrade(url)
        Ledger(url, tmp_path / "spool").record(*rows())
        assert report("--database", url).stdout == report("--database", ledger_url).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--last", "7d", "--since", "2026-03-01"), "--last and --since"),
        (("--since", "2026-03-02", "--until", "2026-03-01"), "ends before it begins"),
        (("--last", "soon"), "is not a length of time"),
        (("--last", "999999w"), "longer than a hundred years"),
        (("--since", "yesterday"), "is not a date"),
        (("--database", "mysql://u:secret@h/d"), "the ledger cannot be kept in 'mysql'"),
    ],
)
def test_the_report_fails_when_an_option_cannot_be_used(
    report: RunLipSync, arguments: tuple[str, ...], said: str
) -> None:
    done = report(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_report_fails_when_the_ledger_is_down(report: RunLipSync, tmp_path: Path) -> None:
    done = report("--database", f"sqlite:///{tmp_path / 'nothing' / 'ledger.sqlite'}")
    assert done.returncode == 75
    assert done.stderr.startswith("lipsync: error LEDGER_UNAVAILABLE: ")


def test_the_report_fails_when_the_file_cannot_be_written(report: RunLipSync, ledger_url: str, tmp_path: Path) -> None:
    done = report("--database", ledger_url, "-o", tmp_path / "nowhere" / "report.html")
    assert done.returncode == 5
    assert "cannot be written" in done.stderr


def test_the_report_says_which_extra_it_needs_when_that_is_missing(
    lipsync: RunLipSync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gone("sqlalchemy", tmp_path, monkeypatch):
        done = lipsync("report")
    assert done.returncode == 2
    assert "pip install 'lipsync[service]'" in done.stderr
