"""Processes at the parts of some work: their order, their number, and their end, also where one is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.part_stand_ins import FRAMES, PARTS
from tests.processes import is_there
from tests.test_architecture import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")
PATIENCE_S = 60.0
_AHEAD = 2  # parts a process, as `part_processes` has it


def started(kind: str, folder: Path, jobs: int = 2) -> subprocess.Popen[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.part_stand_ins", kind, str(jobs), str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def account(folder: Path) -> list[list[str]]:
    path = folder / "account"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def happened(folder: Path, what: str) -> Iterator[list[str]]:
    return (words[1:] for words in account(folder) if words[0] == what)


def done(kind: str, folder: Path, jobs: int = 2) -> tuple[int, str]:
    process = started(kind, folder, jobs)
    _, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


@pytest.mark.parametrize("jobs", [1, 2, 3, 40])
def test_parts_are_taken_in_order_and_few_are_ahead(tmp_path: Path, jobs: int) -> None:
    assert done("is well", tmp_path, jobs)[0] == 0
    assert [int(words[0]) for words in happened(tmp_path, "taken")] == list(range(PARTS))
    assert len({words[1] for words in happened(tmp_path, "begun")}) == PARTS  # each by a new copy
    taken, at_work = 0, set()
    for what, *words in account(tmp_path):
        if what == "begun":
            assert int(words[0]) < taken + 1 + _AHEAD * jobs
            at_work.add(words[1])
            assert len(at_work) <= jobs
        if what == "done":
            at_work.remove(words[1])
        if what == "taken":
            taken = int(words[0])
            assert int(words[1]) <= _AHEAD * jobs  # files at a time
    assert list(happened(tmp_path, "encoded")) == [[str(FRAMES)]]
    assert list((tmp_path / "parts").iterdir()) == []


def test_the_progress_is_that_of_the_whole(tmp_path: Path) -> None:
    done("is well", tmp_path)
    shown = [(int(words[0]), words[2]) for words in happened(tmp_path, "progress")]
    assert [count for count, _ in shown] == sorted(count for count, _ in shown)
    assert shown[-1] == (FRAMES, str(FRAMES))


def test_a_process_that_is_killed_costs_its_part(tmp_path: Path) -> None:
    status, said = done("is killed once", tmp_path)
    assert status == 0
    assert said.count("another one does it again") == 1
    assert [int(words[0]) for words in happened(tmp_path, "taken")] == list(range(PARTS))
    begun = [int(words[0]) for words in happened(tmp_path, "begun")]
    assert sorted(begun) == sorted([*range(PARTS), 5])


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("fails", "NO_VIDEO nothing to see"),
        ("is a bug", "INTERNAL a part of nothing failed: nobody thought of this"),
        ("is killed", "TRANSIENT a process for a part of nothing was killed"),
    ],
)
def test_what_a_part_fails_with_is_what_the_work_fails_with(tmp_path: Path, kind: str, failure: str) -> None:
    assert done(kind, tmp_path)[0] == 0
    assert " ".join(next(happened(tmp_path, "failed"))).startswith(failure)
    tries = [words for words in happened(tmp_path, "begun") if words[0] == "5"]
    assert len(tries) == (3 if kind == "is killed" else 1)
    for words in happened(tmp_path, "begun"):
        wait_until(lambda pid=int(words[1]): not is_there(pid), PATIENCE_S)  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_one_that_asked(tmp_path: Path, number: signal.Signals) -> None:
    process = started("waits", tmp_path)
    wait_until(lambda: any(words[0] == "5" for words in happened(tmp_path, "begun")), PATIENCE_S)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    for words in list(happened(tmp_path, "begun")):
        wait_until(lambda pid=int(words[1]): not is_there(pid), PATIENCE_S)  # type: ignore[misc]
