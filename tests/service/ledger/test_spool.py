"""Lines that wait on the disk: none is lost or removed before it was taken, even if a process is killed."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from lipsync_service.ledger.spool import Spool

ROOT = Path(__file__).parents[3]
# Python 3.12 warns of forks beside threads; these children only write files.
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Taker:
    """Takes lines and remembers them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def __call__(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        self.lines += lines
        return ()


def test_lines_come_back_once_and_in_order(tmp_path: Path) -> None:
    spool, taker = Spool(tmp_path / "spool"), Taker()
    spool.append([b"one", b"two"])
    spool.append([b"three"])
    assert not spool.is_empty
    assert spool.replay(taker) == 3
    assert taker.lines == [b"one", b"two", b"three"]
    assert spool.is_empty
    assert spool.replay(taker) == 0


def test_an_empty_spool_makes_no_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.is_empty
    assert spool.replay(Taker()) == 0
    assert not spool.folder.exists()


def test_any_process_replays_what_another_left(tmp_path: Path) -> None:
    script = (
        "from lipsync_service.ledger.spool import Spool; from pathlib import Path; "
        f"Spool(Path({str(tmp_path)!r})).append([b'left'])"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    taker = Taker()
    Spool(tmp_path).replay(taker)
    assert taker.lines == [b"left"]


@FORKS
def test_a_fork_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([b"parent"])
    pid = os.fork()
    if pid == 0:
        spool.append([b"child"])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    taker = Taker()
    assert spool.replay(taker) == 2


def test_a_replay_that_fails_keeps_the_lines(tmp_path: Path) -> None:
    def fail(lines: Sequence[bytes]) -> Sequence[bytes]:
        raise ConnectionError("down")

    spool, taker = Spool(tmp_path), Taker()
    spool.append([b"kept"])
    with pytest.raises(ConnectionError):
        spool.replay(fail)
    spool.append([b"later"])
    spool.replay(taker)
    assert taker.lines == [b"kept", b"later"]


def test_a_torn_last_line_is_dropped_and_the_lines_before_it_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, taker = Spool(tmp_path), Taker()
    spool.append([b"whole"])
    [path] = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"half')
    spool.replay(taker)
    assert taker.lines == [b"whole"]
    assert "torn after 6 bytes" in caplog.text


def test_refused_lines_are_kept_for_a_person(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([b"good", b"bad"])
    assert spool.replay(lambda lines: [line for line in lines if line == b"bad"]) == 1
    assert spool.refused_path.read_bytes() == b"bad\n"
    assert spool.is_empty


def test_an_append_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    spool, taker = Spool(tmp_path), Taker()
    spool.append([b"before"])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            spool.append([b"lost, and said so"])
    spool.append([b"after"])
    spool.replay(taker)
    assert taker.lines == [b"before", b"after"]


def test_append_fails_when_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(OSError, match="exists"):
        Spool(tmp_path / "spool").append([b"line"])


def test_only_one_replays_at_a_time(tmp_path: Path) -> None:
    spool, other = Spool(tmp_path), Spool(tmp_path)
    inner: list[int] = []

    def take(lines: Sequence[bytes]) -> Sequence[bytes]:
        inner.append(other.replay(Taker()))
        return ()

    spool.append([b"one"])
    assert spool.replay(take) == 1
    assert inner == [0]


def test_the_budget_ends_a_replay_between_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"line\n")
    assert Spool(tmp_path).replay(Taker(), budget_s=-1.0) == 0
    assert Spool(tmp_path).replay(Taker()) == 2


def test_what_is_appended_during_a_replay_is_not_lost(tmp_path: Path) -> None:
    spool, taker = Spool(tmp_path), Taker()
    expected = [b"%d" % number for number in range(200)]

    def write() -> None:
        for line in expected:
            spool.append([line])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        Spool(tmp_path).replay(taker)
    Spool(tmp_path).replay(taker)
    assert Counter(taker.lines) == Counter(expected)


def _append_until_killed(folder: Path, acknowledged: int, writer: int) -> None:
    spool = Spool(folder)
    for number in range(100_000):
        line = b"%d-%d" % (writer, number)
        spool.append([line])
        os.write(acknowledged, line + b"\n")


def _replay_until_killed(folder: Path, taken: Path) -> None:
    spool = Spool(folder)

    def take(lines: Sequence[bytes]) -> Sequence[bytes]:
        with taken.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        return ()

    while True:
        spool.replay(take)


@FORKS
def test_no_acknowledged_line_is_lost_when_writers_and_replays_are_killed(tmp_path: Path) -> None:
    folder, taken = tmp_path / "spool", tmp_path / "taken"
    reader, writer = os.pipe()
    delays = random.Random(4)
    fork = multiprocessing.get_context("fork")
    for turn in range(6):
        work = fork.Process(target=_append_until_killed, args=(folder, writer, turn))
        replay = fork.Process(target=_replay_until_killed, args=(folder, taken))
        for process in (work, replay):
            process.start()
        work.join(delays.uniform(0.02, 0.12))
        for process in (replay, work):
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        acknowledged = set(pipe.read().split())
    last = Taker()
    Spool(folder).replay(last)
    handed_over = set(taken.read_bytes().split() if taken.exists() else ()) | set(last.lines)
    assert acknowledged
    assert acknowledged <= handed_over
    assert all(line.count(b"-") == 1 for line in handed_over)
