"""Every hostile file ends in one line with its code: no crash, no hang, no other file opened, nothing left behind."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipsync_core.errors import InputMissingError
from tests.hostile import seeds
from tests.hostile.case import Case
from tests.hostile.corpus import CASES
from tests.hostile.fuzzing import fault, fuzz, mutant
from tests.hostile.guard import Guard, Outcome
from tests.hostile.movies import BAIT
from tests.hostile.picture_bombs import PICTURE_BOMBS
from tests.thorough import some_of, thorough

MUTANTS = 300
MORE_MEMORY = 300 << 20  # bytes that no hostile file may take, beside those of the imported product


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    with Guard() as running:
        yield running


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the fuzzer's media."""
    folder = tmp_path_factory.mktemp("hostile") / "seeds"
    seeds.make(folder)
    return folder


def code_of(outcome: Outcome) -> str:
    """The code of the command's only line on standard error; empty where it succeeded in silence."""
    if outcome.status == 0 and not outcome.err:
        return ""
    found = re.fullmatch(r"lipsync: error ([A-Z_]+): .+\n", outcome.err)
    assert found, f"{outcome.status}: {outcome.err[-2000:]}"
    return found[1]


def listing(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


@pytest.mark.parametrize("case", some_of(CASES, CASES[::2]), ids=str)
def test_a_hostile_file_ends_in_one_line(case: Case, guard: Guard, media: Path, speech_wav: Path) -> None:
    work = media.parent / "work"
    work.mkdir()
    try:
        os.mkfifo(work / BAIT)
        path = work / case.name
        case.make(path)
        before = listing(work)
        good = media / "still.png" if case.is_sound else speech_wav
        pair = [str(good), str(path)] if case.is_sound else [str(path), str(good)]
        given = {"TMPDIR": str(work), "XDG_CACHE_HOME": str(media.parent / "cache"), **case.variables}
        probed = guard.run(["probe", "--", str(path)], work, **given)
        ran = guard.run(["run", "-q", "-o", "out.mp4", *case.options, "--", *pair], work, **given)
        assert code_of(probed) == (case.code if case.probed is None else case.probed)
        assert code_of(ran) == case.code
        assert listing(work) == before
        assert max(probed.peak_bytes, ran.peak_bytes) < MORE_MEMORY
    finally:
        clear(work)


@pytest.mark.parametrize("case", PICTURE_BOMBS, ids=str)
def test_a_picture_that_unfolds_takes_little_memory_of_the_process_that_reads_it(
    case: Case, guard: Guard, media: Path, tmp_path: Path
) -> None:
    """The command probes in a process of its own, whose memory the guard does not see."""
    path = media.parent / "work" / case.name
    path.parent.mkdir()
    try:
        case.make(path)
        read = guard.run([str(path)], tmp_path, "tests.hostile.fuzzing:read_all")
        assert read.status in (0, 3), read.err
        assert read.peak_bytes < MORE_MEMORY
    finally:
        clear(path.parent)


def clear(folder: Path) -> None:
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    folder.rmdir()


def test_every_medium_that_is_mutated_is_read_whole(guard: Guard, media: Path, tmp_path: Path) -> None:
    said = {}
    for path in seeds.make(media):
        outcome = guard.run([str(path)], tmp_path, "tests.hostile.fuzzing:read_all")
        assert outcome.status in (0, 3), outcome.err
        said[path.name] = {line.split()[0] for line in outcome.out.splitlines()}
    lacking = {"NO_VIDEO", "NO_AUDIO"}
    assert {name: codes for name, codes in said.items() if not codes < lacking} == {}


@thorough  # `make fuzz` reads ten times as many
def test_mutants_of_every_container_end_in_one_line(media: Path) -> None:
    """Each of the 300 reads as itself or is refused; `make fuzz` tries 3,000."""
    codes: Counter[str] = Counter()
    faults = fuzz(media.parent, seed=12, first=0, cases=MUTANTS, say=lambda _, found: codes.update([found]))
    assert not faults, "\n".join(faults)
    assert codes.total() == MUTANTS
    assert codes["MEDIA_UNREADABLE"] > 30 and codes[""] > 10  # they are neither all broken nor all whole


def test_a_folder_may_be_named_from_here(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make fuzz` names one so; of its 3,000 mutants none was found."""
    (tmp_path / "fuzz").mkdir()
    (tmp_path / "fuzz" / "seeds").symlink_to(media)
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert fuzz(Path("fuzz"), seed=12, first=0, cases=5, say=lambda _, found: said.append(found)) == []
    assert len(said) == 5


def test_a_mutant_is_the_same_wherever_it_is_made() -> None:
    content = bytes(range(256)) * 8
    first, again, other = (mutant(content, random.Random(f"3/{number}")) for number in (7, 7, 8))
    assert first == again != other


def test_the_guard_sees_crashes_memory_and_leftovers(guard: Guard, tmp_path: Path) -> None:
    call = "tests.hostile.faulty:misbehave"
    crash = guard.run(["crash"], tmp_path, call)
    assert crash.status == -signal.SIGSEGV and "ended with -11" in fault(crash, tmp_path, [])
    greedy = guard.run(["memory"], tmp_path, call)
    assert "took" in fault(greedy, tmp_path, [])
    fails = guard.run(["raise"], tmp_path, call)
    assert fails.status == 99 and "ended with 99" in fault(fails, tmp_path, [])
    assert fault(Outcome(0, f"{InputMissingError.code} it is not there", "", 0), tmp_path, []) == "was not found"
    left = guard.run(["leave"], tmp_path, call)
    assert fault(left, tmp_path, []) == "left ['left']"
