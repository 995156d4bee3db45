import pytest

from lipsync_cli.progress.run import ProgressLines, describe, shown_progress
from lipsync_core.report import Progress


def test_a_line_says_stage_count_rate_and_time_left() -> None:
    assert describe(Progress("blend", 60, 300), elapsed_s=2.0) == "blend: 60 of 300, 30.0/s, 8 s left"


def test_a_line_leaves_out_what_is_not_known() -> None:
    assert describe(Progress("track", 0, None), elapsed_s=0.0) == "track: 0"
    assert describe(Progress("track", 40, None), elapsed_s=4.0) == "track: 40, 10.0/s"


def test_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    show = ProgressLines()
    for done in range(1000):
        show(Progress("track", done, 1000))
    show(Progress("render", 0, 20))
    captured = capsys.readouterr()
    assert captured.err == "track: 0 of 1000\nrender: 0 of 20\n"
    assert captured.out == ""


def test_quiet_wants_no_progress() -> None:
    with shown_progress(is_quiet=True) as callback:
        assert callback is None


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(is_quiet=False) as callback:
        assert callback is not None
        callback(Progress("encode", 1, 10))
    assert capsys.readouterr().err.startswith("encode: 1 of 10")
