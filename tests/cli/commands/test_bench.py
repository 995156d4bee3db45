"""`lipsync bench scalability`: what it refuses, and that its reports come from its figures alone."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pydantic_settings", reason="a measurement needs the extra 'service'")
from lipsync_cli.bench.figures import CommandRun, from_file, to_json
from lipsync_cli.main import main
from tests.cli.bench.made_figures import FIGURES


@pytest.fixture
def figures_file(tmp_path: Path) -> Path:
    path = tmp_path / "figures.json"
    path.write_text(to_json(FIGURES), encoding="utf-8")
    return path


def bench(*arguments: str | Path) -> int:
    return main(["bench", "scalability", *map(str, arguments)])


def test_figures_are_the_same_after_a_way_through_their_file(figures_file: Path) -> None:
    assert from_file(figures_file) == FIGURES


def test_both_reports_can_be_made_again_from_the_figures(
    figures_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "again"
    assert bench("--from", figures_file, "-o", folder) == 0
    assert capsys.readouterr().out.split() == [
        str(folder / name) for name in ("report.html", "report.md", "figures.json")
    ]
    assert from_file(folder / "figures.json") == FIGURES
    text, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    for said in ("stops growing at 4 requests at once", "0.150", "1.7 GB", "17.4", "gfpgan is missing", "No GPU is"):
        assert said in text and said in page


def test_the_tables_hold_the_figures_and_stay_tables(figures_file: Path, tmp_path: Path) -> None:
    assert bench("--from", figures_file, "-o", tmp_path) == 0
    text = (tmp_path / "report.md").read_text()
    assert "| 2 | 2 | 10.7 s | 13.9 s | 14 s | 0.140 | 2 | 1140 MB |  |" in text
    assert "| 4 | 13.33 | 6.67 | 5.83 | 3.33 | 0.83 | 0.83 | 0.42 | 0.42 | 0.42 | 0.42 |" in text
    assert "| throughput at 16 against the best | 0.80 | at least 0.95 | no |" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_page_needs_nothing_else_and_shows_names_as_text(figures_file: Path, tmp_path: Path) -> None:
    assert bench("--from", figures_file, "-o", tmp_path) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 6
    assert not re.search(r"<script|<link|<img|url\(|@import|src=", page)
    assert "<b>report</b>" not in page and "&lt;b&gt;report&lt;/b&gt;" in page


def test_names_of_the_machine_and_the_command_are_text_in_markdown(tmp_path: Path) -> None:
    named = replace(
        FIGURES,
        command="lipsync bench scalability --video `a`_b_*c* [d](e) <img>",
        hardware=replace(FIGURES.hardware, processor="A|B <i>\n`C`\\"),
        notes=("no <b> of `make up`",),
    )
    path = tmp_path / "figures.json"
    path.write_text(to_json(named), encoding="utf-8")
    assert bench("--from", path, "-o", tmp_path) == 0
    text = (tmp_path / "report.md").read_text()
    assert r"--video \`a\`\_b\_\*c\* \[d\](e) \<img\>" in text
    assert r"| processor | A\|B \<i\> \`C\`\\ |  |" in text
    assert r"- no \<b\> of \`make up\`" in text


def test_the_report_holds_the_spread_of_the_reference(tmp_path: Path) -> None:
    runs = tuple(CommandRun(wall_s, 16.0, 1) for wall_s in (9.5, 10.0, 11.5))
    path = tmp_path / "figures.json"
    path.write_text(to_json(replace(FIGURES, baseline=runs)), encoding="utf-8")
    assert bench("--from", path, "-o", tmp_path) == 0
    for name in ("report.md", "report.html"):
        cells = re.sub(r"<[^>]*>|\|", " ", (tmp_path / name).read_text()).split()
        assert "wall s 9.50 10.00 11.50" in " ".join(cells)


def test_a_limit_that_is_not_judged_says_so(tmp_path: Path) -> None:
    busy = replace(FIGURES, baseline=tuple(replace(run, other_cpu_s=9.0) for run in FIGURES.baseline))
    path = tmp_path / "figures.json"
    path.write_text(to_json(busy), encoding="utf-8")
    assert bench("--from", path, "-o", tmp_path) == 0
    assert (
        "| best throughput against lipsync run in a loop | 1.50 | at least 1.25 | not judged |"
        in (tmp_path / "report.md").read_text()
    )
    assert "limits kept; 7 not judged" in (tmp_path / "report.html").read_text()


def test_a_report_without_the_machine_says_what_was_not_seen(tmp_path: Path) -> None:
    far = replace(
        FIGURES,
        levels=tuple(replace(level, machine=None, stages=()) for level in FIGURES.levels),
        workers=(),
        cached=(),
        idle=None,
        notes=("its processes are elsewhere",),
    )
    path = tmp_path / "figures.json"
    path.write_text(to_json(far), encoding="utf-8")
    assert bench("--from", path, "-o", tmp_path) == 0
    text = (tmp_path / "report.md").read_text()
    assert "its processes are elsewhere" in text
    assert "## Workers" not in text and "## CPU of the jobs" not in text
    assert "| 16 | 16 |" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "holds no figures of a measurement"),
        ("nothing", "holds no figures of a measurement"),
        (to_json(replace(FIGURES, schema="lipsync.scalability/9")), "'lipsync.scalability/9'"),
        (re.sub(r',\s*"schema": ".*"', "", to_json(FIGURES)), "holds no figures of a measurement"),
        (re.sub(r'"database": [\d.]+', '"database": NaN', to_json(FIGURES)), "holds no figures of a measurement"),
        (re.sub(r'"database": [\d.]+', '"database": 1e999', to_json(FIGURES)), "holds no figures of a measurement"),
        ("[" * 100_000, "holds no figures of a measurement"),
    ],
)
def test_the_report_fails_when_the_file_holds_no_figures(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text, encoding="utf-8")
    assert bench("--from", path, "-o", tmp_path / "out") == 3
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--model", "none"), 2, "'none' is not one of"),
        (("--first-port", "80"), 2, "80 is not in the range"),
        (("--video", "absent.mp4"), 2, "'absent.mp4' does not exist"),
        (("--from", "absent.json"), 2, "'absent.json' does not exist"),
    ],
)
def test_the_command_fails_when_an_option_cannot_be_used(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*arguments, "-o", tmp_path) == status
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_the_command_fails_when_no_service_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIPSYNC_API_URL", "http://127.0.0.1:9/api")
    assert bench("-o", tmp_path / "out") == 75
    err = capsys.readouterr().err
    assert err.startswith("lipsync: error SERVICE_UNAVAILABLE: ") and len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], figures_file: Path
) -> None:
    assert bench("--from", figures_file, "-o", "/proc/self") == 5
    assert "/proc/self cannot be written: " in capsys.readouterr().err


def test_the_folder_must_be_one(figures_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert bench("--from", figures_file, "-o", tmp_path / "file" / "below") == 5
    assert "cannot be made" in capsys.readouterr().err


def test_the_figures_are_plain_json(figures_file: Path) -> None:
    fields = json.loads(figures_file.read_text())
    assert fields["schema"] == "lipsync.scalability/2"
    assert [level["at_once"] for level in fields["levels"]] == [1, 2, 4, 8, 16]
