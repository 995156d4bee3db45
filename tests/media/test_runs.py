import random

import pytest

from lipsync_core.media.runs import Run, split_runs


def spelled_out(run: Run) -> list[int]:
    return [run.first + run.step * at for at, times in enumerate(run.repeats) for _ in range(times)]


def test_a_pingpong_is_cut_where_it_turns() -> None:
    runs = list(split_runs([0, 1, 2, 3, 2, 1, 0, 1, 2]))
    assert [(run.first, run.last, run.step) for run in runs] == [(0, 3, 1), (2, 0, -1), (1, 2, 1)]


def test_a_frozen_frame_is_one_entry() -> None:
    assert list(split_runs([4, 5, 6, 6, 6])) == [Run(4, 1, (1, 1, 3))]
    assert list(split_runs([0] * 50)) == [Run(0, 1, (50,))]


def test_nothing_gives_no_run() -> None:
    assert list(split_runs([])) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_runs_are_the_order_again(seed: int) -> None:
    rng = random.Random(seed)
    order = [0]
    for _ in range(200):
        order.append(max(0, order[-1] + rng.choice([-1, -1, 0, 1, 1, 5, -7])))
    assert [index for run in split_runs(order) for index in spelled_out(run)] == order


def test_splitting_fails_when_an_index_is_negative() -> None:
    with pytest.raises(ValueError, match="-2 is negative"):
        list(split_runs([1, -2]))
