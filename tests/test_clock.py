"""The stage clock: everything is counted once."""

import threading
import time

import pytest

from lipsync_core.clock import StageClock


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_nested_stage_pauses_the_one_around_it() -> None:
    clock = StageClock()
    with clock.stage("outer"):
        burn(0.02)
        with clock.stage("inner"):
            burn(0.06)
    rows = {row.stage: row for row in clock.timings()}
    assert rows["outer"].cpu_s == pytest.approx(0.02, abs=0.01)
    assert rows["inner"].cpu_s == pytest.approx(0.06, abs=0.01)


def test_a_lazy_stage_is_timed_while_it_works_and_counts_its_things() -> None:
    clock = StageClock()

    def source() -> object:
        for number in range(3):
            burn(0.01)
            yield number

    with clock.stage("consumer"):
        for _ in clock.timed("source", source()):
            burn(0.02)
    rows = {row.stage: row for row in clock.timings()}
    assert rows["source"].items == 3
    assert rows["source"].cpu_s == pytest.approx(0.03, abs=0.012)
    assert rows["consumer"].cpu_s == pytest.approx(0.06, abs=0.02)
    assert rows["source"].items_per_s == pytest.approx(3 / rows["source"].wall_s)


def test_threads_of_a_stage_are_charged_to_it_even_after_they_ended() -> None:
    clock = StageClock()
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        burn(0.08)
        done.set()
        go.clear()
        go.wait()

    with clock.adopting("codec"):
        thread = threading.Thread(target=work)
        thread.start()
    go.set()
    done.wait()
    with clock.stage("codec"):
        pass
    go.set()
    thread.join()
    codec = next(row for row in clock.timings() if row.stage == "codec")
    assert codec.cpu_s == pytest.approx(0.08, abs=0.03)


def test_the_rows_add_up_to_the_whole() -> None:
    clock = StageClock()
    with clock.stage("work"):
        burn(0.02)
    burn(0.03)
    rows = clock.timings()
    assert rows[-1].stage == "other"
    assert rows[-1].cpu_s == pytest.approx(0.03, abs=0.015)
    assert sum(row.wall_s for row in rows) == pytest.approx(clock.wall_s, rel=0.05)


def test_a_stage_is_closed_when_its_block_fails() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="no"), clock.stage("broken", items=2):
        raise ValueError("no")
    burn(0.02)
    broken = clock.timings()[0]
    assert broken.items == 2
    assert broken.cpu_s < 0.01


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
