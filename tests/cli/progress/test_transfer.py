import pytest

from lipsync_cli.progress import transfer
from lipsync_cli.progress.transfer import TransferLines, describe, shown_transfer
from lipsync_core.report import Progress


def test_a_line_says_how_much_how_fast_and_how_long() -> None:
    progress = Progress("download", 100_000_000, 435_800_000)
    assert describe(progress, 2_000_000.0) == "downloading, 100.0 of 435.8 MB, 2.0 MB/s, 168 s left"
    assert describe(progress, 0.0) == "downloading, 100.0 of 435.8 MB"
    assert describe(Progress("import", 0, None), 0.0) == "importing"


def test_lines_come_when_a_stage_begins_and_then_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 100.0
    monkeypatch.setattr(transfer.time, "monotonic", lambda: now_s)
    show = TransferLines("tiny")
    for step in range(12):  # one a second
        show(Progress("download", 5_000_000 + step * 1_000_000, 20_000_000))
        now_s += 1.0
    show(Progress("import", 0, None))
    assert capsys.readouterr().err.splitlines() == [
        "tiny: downloading, 5.0 of 20.0 MB",
        "tiny: downloading, 10.0 of 20.0 MB, 1.0 MB/s, 10 s left",
        "tiny: downloading, 15.0 of 20.0 MB, 1.0 MB/s, 5 s left",
        "tiny: importing",
    ]


def test_what_was_there_before_does_not_count_as_fast(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_transfer("tiny") as show:
        show(Progress("download", 400_000_000, 435_800_000))
    assert capsys.readouterr().err == "tiny: downloading, 400.0 of 435.8 MB\n"
