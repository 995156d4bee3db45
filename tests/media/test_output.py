"""The output file is complete or absent, and a path that cannot be written is refused at once."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from lipsync_core.errors import DiskFullError, MemoryShortageError, OutputError, RefusedOutputError
from lipsync_core.media.output import atomic_output, check_output, output_errors

NOBODY = 65534


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def ordinary_user(shared_folder: Path) -> Iterator[Path]:
    """The shared folder, seen by a user who does not own it; permissions mean nothing to root."""
    (shared_folder / "existing.mp4").write_bytes(b"someone else's")
    (shared_folder / "existing.mp4").chmod(0o444)
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    else:
        shared_folder.chmod(0o555)
    yield shared_folder
    if before == 0:
        os.seteuid(before)
    else:
        shared_folder.chmod(0o755)


@pytest.mark.parametrize("name", ["out.mp4", "OUT.MP4", "-dash 'quote\" dots.. ünïcødé 日本.mov", "x" * 240 + ".m4v"])
def test_the_output_appears_when_the_block_ends(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    with atomic_output(output) as partial:
        assert partial.parent == output.parent
        assert partial.name.startswith(".")
        assert partial.suffixes[-2] == ".partial"
        assert not output.exists()
        partial.write_bytes(b"movie")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert output.read_bytes() == b"movie"


def test_the_output_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "out.mp4"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.mp4").stat().st_mode) == 0o640


def test_a_link_keeps_pointing_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    with atomic_output(tmp_path / "link.mp4") as partial:
        partial.write_bytes(b"new")
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real.mp4").read_bytes() == b"new"


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_nothing_is_left_when_the_block_fails(tmp_path: Path, stop: type[BaseException]) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"from before")
    with pytest.raises(stop), atomic_output(output) as partial:
        partial.write_bytes(b"half")
        raise stop
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert output.read_bytes() == b"from before"


def test_an_interrupt_from_outside_leaves_nothing(tmp_path: Path) -> None:
    # Sleeps in short steps: Python acts on a signal that comes just before a sleep only when the sleep is over.
    code = (
        "import sys, time; from pathlib import Path; from lipsync_core.media.output import atomic_output\n"
        "with atomic_output(Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half'); print('writing', flush=True)\n"
        "    for _ in range(1200): time.sleep(0.05)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp4.txt", "missing folder/out.mp4", "folder.mp4", "pipe.mp4"])
def test_check_fails_when_there_cannot_be_such_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OutputError) as failure:
        check_output(tmp_path / name)
    assert failure.value.remedy
    assert name.split("/")[0] in failure.value.message


@pytest.mark.parametrize("name", ["new.mp4", "existing.mp4"])
def test_check_fails_when_this_user_may_not_write(ordinary_user: Path, name: str) -> None:
    with pytest.raises(OutputError, match="Permission denied") as failure:
        check_output(ordinary_user / name)
    assert failure.value.code == "OUTPUT_UNWRITABLE"
    assert failure.value.remedy


def test_check_fails_when_the_output_is_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    with pytest.raises(OutputError, match="leads back to itself"):
        check_output(tmp_path / "a.mp4")
    (tmp_path / "c.mp4").symlink_to("not-there-yet.mp4")
    check_output(tmp_path / "c.mp4")


@pytest.mark.parametrize("how", ["same", "hardlink", "symlink"])
def test_check_fails_when_the_output_is_an_input(tmp_path: Path, how: str) -> None:
    source, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(b"video")
    if how == "same":
        output = tmp_path / "." / "in.mp4"
    elif how == "hardlink":
        output.hardlink_to(source)
    else:
        output.symlink_to(source)
    with pytest.raises(OutputError, match="also an input"):
        check_output(output, [tmp_path / "other.wav", source])


def test_check_leaves_nothing_behind_and_passes_other_inputs(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"from before")
    check_output(output, [tmp_path / "no such input", tmp_path / ("long" * 100)])
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert output.read_bytes() == b"from before"


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EFBIG, DiskFullError),
        (errno.EIO, OutputError),
        (errno.EROFS, OutputError),
    ],
)
@pytest.mark.parametrize("source", ["system", "ffmpeg"])
def test_errors_of_writing_get_the_names_of_this_product(
    tmp_path: Path, number: int, error: type[OutputError], source: str
) -> None:
    with pytest.raises(OutputError) as failure, output_errors(tmp_path / "out.mp4"):
        if source == "system":
            raise OSError(number, os.strerror(number))
        av.error.err_check(-number)
    assert type(failure.value) is error
    assert "out.mp4" in failure.value.message


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EINVAL, "refuses to write"),
        (errno.ENOSYS, "refuses to write"),
        (av.error.tag_to_code(b"INDA"), "refuses to write"),  # invalid data
        (av.error.tag_to_code(b"PAWE"), "refuses to write"),  # not implemented: patches are welcome
        (av.error.tag_to_code(b"\xf8ENC"), "refuses to write"),  # no such encoder
    ],
)
def test_a_refusal_of_ffmpeg_is_no_fault_of_the_folder(tmp_path: Path, number: int, said: str) -> None:
    """A muxer that did not know a codec sent the user to the permissions of the folder."""
    with pytest.raises(RefusedOutputError, match=said) as failure, output_errors(tmp_path / "out.mp4"):
        av.error.err_check(-number)
    assert failure.value.code == "OUTPUT_REFUSED"
    assert "folder" not in str(failure.value) and "permission" not in str(failure.value)


def test_memory_that_ffmpeg_was_refused_is_neither_a_refusal_nor_a_fault_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(MemoryShortageError, match="not enough memory to write"), output_errors(tmp_path / "out.mp4"):
        av.error.err_check(-errno.ENOMEM)


def test_other_errors_pass_untranslated(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), output_errors(tmp_path / "out.mp4"):
        raise ZeroDivisionError
