"""Work that shares cores by thread ends when arithmetic says."""

import pytest

pytest.importorskip("simpy", reason="the capacity plan needs the extra 'service'")
import simpy

from lipsync_service.capacity.shared_processor import SharedProcessor


def ends(cores: float, works: list[tuple[float, float, float]]) -> list[float]:
    """The end of each work, given as its start, its CPU-seconds and its threads."""
    environment, found = simpy.Environment(), {}
    processor = SharedProcessor(environment, cores)

    def begin(index: int, start_s: float, cpu_s: float, threads: float):
        yield environment.timeout(start_s)
        yield processor.work(cpu_s, threads)
        found[index] = environment.now

    for index, work in enumerate(works):
        environment.process(begin(index, *work))
    environment.run()
    assert processor.busy_core_s == pytest.approx(sum(cpu_s for _, cpu_s, _ in works))
    return [found[index] for index in range(len(works))]


def test_work_alone_takes_its_cpu_seconds_over_its_threads() -> None:
    assert ends(4, [(0, 6, 2)]) == [3.0]


def test_more_threads_than_cores_run_no_faster_than_the_cores() -> None:
    assert ends(2, [(0, 6, 8)]) == [3.0]


def test_three_threads_on_two_cores_each_get_two_thirds() -> None:
    assert ends(2, [(0, 2, 1)] * 3) == pytest.approx([3.0] * 3)


def test_work_that_comes_later_slows_what_runs_from_then_on() -> None:
    # Alone until 1 s, then half a core each: the first has 1 s left and ends at 3 s, the second then runs alone.
    assert ends(1, [(0, 2, 1), (1, 2, 1)]) == pytest.approx([3.0, 4.0])


def test_cores_are_shared_by_thread_and_not_by_work() -> None:
    # Three of four threads belong to the first: 1.5 of 2 cores, until it ends after 2 s; then the other has one core.
    assert ends(2, [(0, 3, 3), (0, 3, 1)]) == pytest.approx([2.0, 4.0])


def test_no_work_ends_at_once() -> None:
    assert ends(1, [(5, 0, 1)]) == [5.0]
