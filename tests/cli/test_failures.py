import errno
import resource
import signal
from pathlib import Path

import click
import pytest

from lipsync_cli.failures import report_failure, write_file
from lipsync_cli.signals import Interrupted
from lipsync_core.errors import FaceError, NoAudioError, OptionError, OutputError


@pytest.mark.parametrize(
    ("failure", "status", "line"),
    [
        (NoAudioError("a.mp4 holds no audio", "give sound"), 3, "NO_AUDIO: a.mp4 holds no audio; give sound"),
        (FaceError("no face"), 4, "NO_FACE: no face"),
        (OptionError("crf is 99", "choose less"), 2, "BAD_OPTION: crf is 99; choose less"),
        (click.UsageError("No such option: --crv."), 2, "BAD_OPTION: No such option: --crv; see: lipsync --help"),
        (Interrupted(2), 130, "INTERRUPTED: stopped by SIGINT; nothing was written"),
        (Interrupted(15), 143, "INTERRUPTED: stopped by SIGTERM; nothing was written"),
        (
            OSError(errno.ENOSPC, "No space left"),
            5,
            f"DISK_FULL: [Errno {errno.ENOSPC}] No space left; free some space",
        ),
        (ValueError("boom"), 1, "INTERNAL: ValueError: boom; run again with --debug for the traceback"),
    ],
)
def test_a_failure_is_one_line_and_a_status(
    failure: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_failure(failure, is_debug=False) == status
    assert capsys.readouterr().err == f"lipsync: error {line}\n"


def test_a_name_with_a_line_break_and_an_escape_stays_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(NoAudioError("a\nb\x1b[31m.wav holds no audio"), is_debug=False)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_debug_shows_the_traceback_and_ends_with_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("boom")
    except ValueError as exc:
        report_failure(exc, is_debug=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "lipsync: error INTERNAL: ValueError: boom; see the traceback above"


def test_writing_a_file_fails_when_the_disk_is_full_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(OutputError, match=r"figures.json cannot be written: File too large; choose another"):
            write_file(path, "new" * 1000, "choose another")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_through_a_link_and_to_a_device(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_file(link, "new", "")
    assert link.is_symlink() and target.read_text() == "new"
    write_file(Path("/dev/null"), "gone", "")
    assert Path("/dev/null").is_char_device()


def test_a_loop_of_links_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    loop = tmp_path / "page.html"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match=f"{loop} cannot be written"):
        write_file(loop, "new", "choose another")
    assert loop.is_symlink() and list(tmp_path.iterdir()) == [loop]
