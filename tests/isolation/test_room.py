"""Readers: what they may do, what they cost those who ask them, and how they end."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipsync_core import apart
from lipsync_core.clock import StageClock
from lipsync_core.errors import LipSyncError, NoVideoError, TransientError, UnreadableMediaError
from lipsync_core.isolation.confinement import ReaderLimits
from lipsync_core.isolation.room import prepared_room, reading_room
from lipsync_core.limit_errors import CpuLimitError, MemoryLimitError, TimeLimitError
from lipsync_core.limits import Limits, limited
from tests.isolation import misdeeds
from tests.processes import is_there, readers_of
from tests.test_architecture import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="readers need Linux")
PATIENCE_S = 60.0


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The file that the readers are asked about."""
    path = tmp_path / "given.txt"
    path.write_text("given")
    return path


@pytest.fixture
def room() -> Iterator[None]:
    with reading_room("all"):
        yield


def open_descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def wait_until_gone(process: int) -> None:
    wait_until(lambda: not is_there(process), PATIENCE_S)


@pytest.mark.parametrize("deed", misdeeds.DEEDS)
def test_a_reader_can_do_nothing_but_read(given: Path, room: None, deed: str) -> None:
    assert misdeeds.tried(given, deed, "") == "PermissionError"


_ALLOWED_OUTSIDE = (
    *("unix socket", "program", "folder", "signal parent", "signal by owner", "outlive"),
    *("slow parent", "move parent", "schedule parent"),
)


def test_outside_of_a_reader_the_same_deeds_are_done(given: Path) -> None:
    listening = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        done = {deed: misdeeds.outcome(deed) for deed in _ALLOWED_OUTSIDE}
    finally:
        listening.communicate()
    assert set(done.values()) == {"done"}
    assert misdeeds.tried(given, "program", "") == "done"


def test_a_reader_opens_its_own_file_and_no_other(given: Path, tmp_path: Path, room: None) -> None:
    other = tmp_path / "other.txt"
    other.write_text("of another customer")
    assert misdeeds.read_text(given, str(given)) == "given"
    assert misdeeds.read_text(given, str(other)) == "PermissionError"
    assert misdeeds.read_text(given, "/etc/passwd") == "PermissionError"
    link = tmp_path / "link.txt"
    link.symlink_to(other)
    assert misdeeds.read_text(given, str(link)) == "PermissionError"


def test_memory_has_an_end(given: Path) -> None:
    with reading_room("all", ReaderLimits(memory_bytes=256 << 20)):
        assert misdeeds.fill_memory(given, 64) == 64 << 20
        with pytest.raises(MemoryLimitError, match="needs more than 256 MiB"):
            misdeeds.fill_memory(given, 512)


def test_processor_time_has_an_end(given: Path) -> None:
    with reading_room("all", ReaderLimits(cpu_s=0)), pytest.raises(CpuLimitError, match=r"given\.txt takes more than"):
        misdeeds.spin(given)


def test_the_opening_has_less_processor_time_than_the_reading(given: Path, room: None) -> None:
    with limited(Limits(max_opening_cpu_s=1)):
        assert misdeeds.open_for_long(given, 0.1, 1.5) == "done"
        with pytest.raises(CpuLimitError, match=r"given\.txt takes more than 1 s of a processor to be opened"):
            misdeeds.open_for_long(given, PATIENCE_S, 0.0)


def test_waiting_has_an_end(given: Path) -> None:
    with reading_room("all", ReaderLimits(wait_s=0.2)), pytest.raises(TimeLimitError, match=r"given\.txt: nothing"):
        misdeeds.sleep(given, PATIENCE_S)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT")])
def test_a_crash_is_a_fault_of_the_file_and_of_no_other_job(given: Path, room: None, number: int, name: str) -> None:
    with pytest.raises(UnreadableMediaError, match=rf"given\.txt ended the process that read it \({name}\)"):
        misdeeds.crash(given, number)
    assert misdeeds.process_of(given)


def test_a_reader_that_is_killed_from_outside_is_worth_another_try(given: Path, room: None) -> None:
    numbers = misdeeds.count(given, 10**6)
    os.kill(next(numbers), signal.SIGKILL)
    with pytest.raises(TransientError, match="was killed"):
        list(numbers)


def test_a_desk_that_is_killed_gives_way_to_another(given: Path, room: None) -> None:
    numbers = misdeeds.count(given, 10**6)
    reader = next(numbers)
    desk = int(Path(f"/proc/{reader}/stat").read_text().split()[3])
    os.kill(desk, signal.SIGKILL)
    with pytest.raises(TransientError, match="was killed"):
        list(numbers)
    wait_until_gone(reader)
    assert misdeeds.process_of(given) not in (os.getpid(), reader)


def test_desk_and_reader_are_known_by_name(given: Path, room: None) -> None:
    numbers = misdeeds.count(given, 10**6)
    reader = next(numbers)
    desk = Path(f"/proc/{reader}/stat").read_text().split()[3]
    assert Path(f"/proc/{reader}/comm").read_text() == "lipsync-reader\n"
    assert Path(f"/proc/{desk}/comm").read_text() == "lipsync-desk\n"


def test_errors_cross_with_their_code_and_their_remedy(given: Path, room: None) -> None:
    with pytest.raises(NoVideoError) as caught:
        misdeeds.fail(given)
    assert (caught.value.message, caught.value.remedy) == (f"{given} holds no video", "give a video")
    numbers = misdeeds.stop_after(given, 3)
    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(NoVideoError, match="ends early"):
        next(numbers)


def test_an_error_that_nobody_foresaw_is_one_line_with_its_traceback_in_the_log(
    given: Path, room: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(LipSyncError) as caught:
        misdeeds.stumble(given)
    assert caught.value.code == "INTERNAL"
    assert "\n" not in str(caught.value) and "KeyError" in str(caught.value)
    assert "in stumble" in caplog.text


def test_a_reader_that_lies_about_its_type_is_found_out(given: Path, room: None) -> None:
    with pytest.raises(UnreadableMediaError, match="what no reader says"):
        misdeeds.lie(given)


def test_what_a_reader_says_is_one_line_whatever_it_holds(
    given: Path, room: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NoVideoError) as caught:
        misdeeds.forge(given)
    assert str(caught.value) == "no video lipsync: error FORGED: by a file  [2J; give one"
    assert [record.getMessage() for record in caplog.records] == ["one two"]


def test_a_reader_that_answers_with_no_value_is_found_out(given: Path, room: None) -> None:
    with pytest.raises(UnreadableMediaError, match="what no reader says"):
        misdeeds.end_at_once(given)


def test_lines_of_the_log_cross_if_they_are_ours(given: Path, room: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        misdeeds.log(given)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("lipsync_core.media", "looked at given.txt")
    ]


def test_a_reader_ends_with_its_iterator(given: Path, room: None) -> None:
    numbers = misdeeds.count(given, 10**9)
    process = next(numbers)
    assert process != os.getpid() and is_there(process)
    numbers.close()  # type: ignore[attr-defined]
    wait_until_gone(process)


def test_a_reader_waits_for_those_that_take_its_items(given: Path, room: None) -> None:
    numbers = misdeeds.count(given, 10**9)
    process = next(numbers)
    stat = Path(f"/proc/{process}/stat")
    before = None
    until_s = time.monotonic() + PATIENCE_S
    while before != (before := stat.read_text().split()[13:15]) or stat.read_text().split()[2] != "S":
        assert time.monotonic() < until_s, "the reader goes on without anybody who takes its items"
        time.sleep(0.1)
    assert next(numbers) == 0


def test_all_ends_with_the_process_that_asked(given: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"""
import os, sys, time
from pathlib import Path
from lipsync_core.isolation.room import reading_room
from tests.isolation import misdeeds
from tests.processes import is_there, readers_of
with reading_room("all"):
    numbers = misdeeds.count(Path({str(given)!r}), 10**9)
    reader = next(numbers)
    desk = Path(f"/proc/{{reader}}/stat").read_text().split()[3]
    Path({str(told)!r} + ".part").write_text(f"{{reader}} {{desk}}")
    os.rename({str(told)!r} + ".part", {str(told)!r})
    time.sleep(600)
"""
    asker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until(lambda: told.exists() or asker.poll() is not None, PATIENCE_S)
        reader, desk = map(int, told.read_text().split())
        assert is_there(reader) and is_there(desk)
    finally:
        asker.kill()
        asker.wait()
    wait_until_gone(reader)
    wait_until_gone(desk)


def test_a_room_ends_though_its_desk_and_reader_do_not_answer(given: Path) -> None:
    with reading_room("all"):
        numbers = misdeeds.count(given, 10**9)
        reader = next(numbers)
        both = readers_of(os.getpid())
        assert reader in both and len(both) == 2
        for process in both:
            os.kill(process, signal.SIGSTOP)
    for process in both:
        wait_until_gone(process)


def test_processor_time_of_readers_is_charged_to_the_stage_that_waits(given: Path, room: None) -> None:
    clock = StageClock()
    with clock.stage("decode"):
        assert list(misdeeds.work(given, 0.3)) == [1]
    (decode, _) = clock.timings()
    assert decode.cpu_s >= 0.3
    assert clock.cpu_s >= 0.3


def test_a_scope_of_probes_leaves_streams_here(given: Path) -> None:
    with reading_room("probes"):
        assert misdeeds.process_of(given) != os.getpid()
        assert next(misdeeds.count(given, 1)) == os.getpid()
    assert misdeeds.process_of(given) == os.getpid()


def test_a_prepared_room_serves_the_next_one(given: Path) -> None:
    with prepared_room():
        with reading_room("nothing"):
            assert misdeeds.process_of(given) == os.getpid()
        with reading_room("all"):
            assert misdeeds.process_of(given) != os.getpid()
    assert not apart.reads_all_apart()


def test_a_reader_is_asked_again_about_the_same_file(given: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    assert first != os.getpid()
    assert list(misdeeds.count(given, 100)) == [first, *range(100)]
    assert misdeeds.process_of(given) == first


def test_a_reader_is_asked_about_no_other_file(given: Path, tmp_path: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    other = tmp_path / "other.txt"
    other.write_text("other")
    assert misdeeds.process_of(other) != first
    other.replace(given)  # its reader may not open it
    second = misdeeds.process_of(given)
    assert second != first
    assert misdeeds.read_text(given, str(given)) == "other"


def test_a_reader_has_the_limits_that_are_in_force(given: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    with limited(Limits(max_opening_cpu_s=1)):
        assert misdeeds.process_of(given) != first


def test_a_reader_that_failed_or_was_left_is_not_asked_again(given: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    with pytest.raises(NoVideoError):
        misdeeds.fail(given)
    second = misdeeds.process_of(given)
    numbers = misdeeds.count(given, 10**9)
    assert next(numbers) == second != first
    numbers.close()  # type: ignore[attr-defined]
    wait_until_gone(second)
    assert misdeeds.process_of(given) not in (first, second)


def test_a_reader_that_was_killed_while_it_waited_is_not_missed(given: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    os.kill(first, signal.SIGKILL)
    wait_until_gone(first)
    assert misdeeds.process_of(given) not in (first, os.getpid())


def test_a_reader_that_was_killed_a_moment_ago_is_not_missed_either(given: Path, room: None) -> None:
    for _ in range(20):
        first = misdeeds.process_of(given)
        os.kill(first, signal.SIGKILL)  # its desk has not waited for it yet
        assert misdeeds.process_of(given) not in (first, os.getpid())


def test_a_reader_that_keeps_memory_is_not_asked_again(given: Path, room: None) -> None:
    first = misdeeds.hold(given, 8)
    second = misdeeds.hold(given, 64)
    third = misdeeds.process_of(given)
    assert first == second != third


def test_a_file_that_was_changed_has_another_reader(given: Path, room: None) -> None:
    first, status = misdeeds.process_of(given), given.stat()
    given.write_text("taken")  # as many bytes
    os.utime(given, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert misdeeds.process_of(given) != first


def test_a_copy_of_the_asker_asks_readers_of_its_own(given: Path, room: None) -> None:
    first = misdeeds.process_of(given)
    read, write = os.pipe()
    copy = os.fork()
    if copy == 0:
        answers = [misdeeds.read_text(given, str(given)) for _ in range(20)]
        os.write(write, b"given" if set(answers) == {"given"} else b"wrong")
        os._exit(0)
    assert [misdeeds.process_of(given) for _ in range(20)] == [first] * 20
    assert os.read(read, 5) == b"given"
    os.waitpid(copy, 0)


@pytest.mark.parametrize("size_bytes", [1000, 70_000, 72_000, 80_000])
def test_a_crash_is_told_though_the_asker_is_behind(given: Path, room: None, size_bytes: int) -> None:
    items = misdeeds.crash_after(given, 4, size_bytes)
    next(items)
    time.sleep(0.3)
    with pytest.raises(UnreadableMediaError, match="SIGABRT"):
        list(items)


def test_a_reader_that_reads_nothing_ends_its_asker_in_time(given: Path) -> None:
    with reading_room("all", ReaderLimits(wait_s=0.5)), pytest.raises(UnreadableMediaError, match="no reader says"):
        for _ in misdeeds.flood(given):
            continue


def test_two_threads_ask_about_one_file_at_the_same_time(given: Path, room: None) -> None:
    with ThreadPoolExecutor(4) as threads:
        counted = list(threads.map(lambda _: list(misdeeds.count(given, 200)), range(12)))
    assert all(numbers[1:] == list(range(200)) for numbers in counted)


def test_each_answer_has_a_processor_time_of_its_own(given: Path) -> None:
    with reading_room("all", ReaderLimits(cpu_s=1)):
        first = misdeeds.process_of(given)
        assert [list(misdeeds.work(given, 0.6)) for _ in range(4)] == [[1]] * 4
        assert misdeeds.process_of(given) == first


def test_few_readers_wait(tmp_path: Path, room: None) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.txt"
        path.write_text("given")
        assert misdeeds.process_of(path) in readers_of(os.getpid())
    wait_until(lambda: len(readers_of(os.getpid())) == 3, PATIENCE_S)  # the desk is one of them


def test_nothing_is_left_of_many_readers(given: Path) -> None:
    gc.freeze()  # what the tests before have left would be looked through each time
    with reading_room("all"):
        misdeeds.process_of(given)
        gc.collect()
        before = open_descriptors()
        for _ in range(20):
            next(misdeeds.count(given, 10**6))
            gc.collect()
            assert list(misdeeds.count(given, 3))[1:] == [0, 1, 2]
        assert len(open_descriptors()) == len(before)


def test_a_desk_that_is_killed_with_a_request_in_its_hands_gives_way_to_another(given: Path, room: None) -> None:
    wait_until(lambda: len(readers_of(os.getpid())) == 1, PATIENCE_S)
    (desk,) = readers_of(os.getpid())
    os.kill(desk, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        reader = thread.submit(misdeeds.process_of, given)
        time.sleep(0.3)  # it has asked, and waits
        os.kill(desk, signal.SIGKILL)
        assert reader.result(PATIENCE_S) not in (os.getpid(), desk)
