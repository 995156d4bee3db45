"""The stage clock: everything is counted once."""

import threading
import time
from collections.abc import Iterator

import pytest

from lipsync_core.clock import StageClock, StageTiming
from tests.hand_clock import HandClock


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """Time goes on only where a test says so."""
    clock = HandClock()
    monkeypatch.setattr("lipsync_core.clock.time", clock)
    return clock


def rows_of(clock: StageClock) -> dict[str, StageTiming]:
    return {row.stage: row for row in clock.timings()}


def test_a_nested_stage_pauses_the_one_around_it(hands: HandClock) -> None:
    clock = StageClock()
    with clock.stage("outer"):
        hands.work(2)
        with clock.stage("inner"):
            hands.work(6)
            hands.wait(1)
        hands.work(1)
    rows = rows_of(clock)
    assert (rows["outer"].cpu_s, rows["outer"].wall_s) == (3, 3)
    assert (rows["inner"].cpu_s, rows["inner"].wall_s) == (6, 7)


def test_a_lazy_stage_is_timed_while_it_works_and_counts_its_things(hands: HandClock) -> None:
    clock = StageClock()

    def source() -> Iterator[int]:
        for number in range(3):
            hands.work(1)
            yield number

    with clock.stage("consumer"):
        for _ in clock.timed("source", source()):
            hands.work(2)
    rows = rows_of(clock)
    assert (rows["source"].items, rows["source"].cpu_s, rows["consumer"].cpu_s) == (3, 3, 6)
    assert rows["source"].items_per_s == 1


def test_threads_of_a_stage_are_charged_to_it_even_after_they_ended(hands: HandClock) -> None:
    clock = StageClock()
    go, worked, leave = threading.Event(), threading.Event(), threading.Event()
    started_s = time.process_time()
    spent_s: list[float] = []  # CPU seconds, as the thread itself reads them

    def work() -> None:
        go.wait()
        while time.thread_time() < 0.01:
            pass
        spent_s.append(time.thread_time())
        worked.set()
        leave.wait()

    with clock.adopting("codec"):
        thread = threading.Thread(target=work)
        thread.start()
    go.set()
    worked.wait()
    with clock.stage("codec"):  # its end looks at the thread
        pass
    leave.set()
    thread.join()
    assert spent_s[0] <= rows_of(clock)["codec"].cpu_s <= time.process_time() - started_s


def test_a_stage_whose_model_is_opened_first_stands_where_it_first_runs() -> None:
    clock = StageClock()
    with clock.adopting("infer"):
        pass
    for name in ("listen", "infer", "listen"):
        with clock.stage(name):
            pass
    assert [row.stage for row in clock.timings()] == ["listen", "infer", "other"]


def test_the_rows_add_up_to_the_whole(hands: HandClock) -> None:
    clock = StageClock()
    with clock.stage("work"):
        hands.work(2)
    hands.work(3)
    hands.wait(4)
    rows = clock.timings()
    assert [row.stage for row in rows] == ["work", "other"]
    assert (rows[-1].cpu_s, rows[-1].wall_s) == (3, 7)
    assert sum(row.wall_s for row in rows) == clock.wall_s == 9
    assert sum(row.cpu_s for row in rows) == clock.cpu_s == 5


def test_a_stage_is_closed_when_its_block_fails(hands: HandClock) -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="no"), clock.stage("broken", items=2):
        raise ValueError("no")
    hands.work(2)
    broken = rows_of(clock)["broken"]
    assert (broken.items, broken.cpu_s) == (2, 0)


def test_a_clock_measures_the_time_of_this_process() -> None:
    before_s = time.perf_counter(), time.process_time()
    clock = StageClock()
    with clock.stage("work"):
        started_s = time.thread_time()
        while time.thread_time() < started_s + 0.01:
            pass
    [work, _] = clock.timings()
    wall_s, cpu_s = time.perf_counter() - before_s[0], time.process_time() - before_s[1]
    assert 0.01 <= work.cpu_s <= cpu_s
    assert 0 < work.wall_s <= wall_s


def test_a_clock_fails_when_another_thread_uses_it() -> None:
    clock = StageClock()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            with clock.stage("elsewhere"):
                pass
        except RuntimeError as exc:
            failures.append(exc)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(failures) == 1
