"""Which segments other runs get and which the job's own run takes, without Prefect: its runs are stand-ins here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")
from tasks.part_runs import PartRuns, RunPhase
from tasks.segments import SegmentOrder
from tests.waiting import wait_until


@dataclass
class Pool:
    """Takes as many runs at once as it has room for, when it is told to."""

    room: int
    waiting: list[UUID] = field(default_factory=list)
    at_work: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)
    cancelled: list[tuple[int, bool]] = field(default_factory=list)  # segment, and whether it waited
    ordered: dict[UUID, int] = field(default_factory=dict)
    is_away: bool = False

    def order(self, order: SegmentOrder) -> UUID:
        """See `RunsApi`."""
        if self.is_away:
            raise httpx.ConnectError("away")
        run_id = uuid4()
        self.ordered[run_id] = order.number
        self.waiting.append(run_id)
        return run_id

    def phases(self, run_ids: Sequence[UUID]) -> Mapping[UUID, RunPhase]:
        """See `RunsApi`."""
        lists = {RunPhase.WAITING: self.waiting, RunPhase.AT_WORK: self.at_work, RunPhase.ENDED: self.ended}
        return {run_id: phase for run_id in run_ids for phase, runs in lists.items() if run_id in runs}

    def cancel(self, run_id: UUID, is_waiting: bool) -> None:
        """See `RunsApi`."""
        self.cancelled.append((self.ordered[run_id], is_waiting))
        for runs in (self.waiting, self.at_work):
            if run_id in runs:
                runs.remove(run_id)
        self.ended.append(run_id)

    def start(self) -> None:
        """Let the workers take what they have room for."""
        while self.waiting and len(self.at_work) < self.room:
            self.at_work.append(self.waiting.pop(0))

    def end(self) -> list[int]:
        """Let all runs at work end; their segments."""
        numbers = [self.ordered[run_id] for run_id in self.at_work]
        self.ended += self.at_work
        self.at_work = []
        return numbers


def runs_of(pool: Pool, count: int, done: Sequence[int] = ()) -> PartRuns[Any]:
    orders = [SimpleNamespace(number=number, stage=f"segment {number}") for number in range(count)]
    return PartRuns(pool, cast(Any, orders), set(done))


def numbers_of(runs: Sequence[UUID], pool: Pool) -> list[int]:
    return [pool.ordered[run_id] for run_id in runs]


def test_two_runs_wait_and_more_are_ordered_as_the_pool_takes_them() -> None:
    pool = Pool(room=3)
    runs = runs_of(pool, 12)
    for expected in ([0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        runs.turn()
        assert list(pool.ordered.values()) == expected
        pool.start()
    runs.turn()
    assert numbers_of(pool.at_work, pool) == [0, 1, 2]
    assert numbers_of(pool.waiting, pool) == [3, 4]


def test_the_jobs_own_run_takes_the_last_ones_that_may_be_begun() -> None:
    pool = Pool(room=0)
    runs = runs_of(pool, 30)
    runs.turn()
    taken = [cast(SegmentOrder, runs.take()).number for _ in range(14)]
    assert taken == list(range(15, 1, -1))  # sixteen may be begun, of which two wait for a worker
    assert pool.cancelled == []
    assert cast(SegmentOrder, runs.take()).number == 1  # nobody has taken it
    assert cast(SegmentOrder, runs.take()).number == 0
    assert pool.cancelled == [(1, True), (0, True)]
    assert runs.take() is None
    runs.joined = 3
    assert cast(SegmentOrder, runs.take()).number == 18


def test_a_segment_that_a_run_is_at_is_taken_by_nobody_else() -> None:
    pool = Pool(room=2)
    runs = runs_of(pool, 2)
    runs.turn()
    pool.start()
    runs.turn()
    assert runs.take() is None
    assert not runs.is_lost(0)


def test_a_run_that_ends_without_its_segment_leaves_it_to_the_job() -> None:
    pool = Pool(room=2)
    runs = runs_of(pool, 3)
    runs.turn()
    pool.start()
    assert pool.end() == [0, 1]
    runs.turn()
    assert runs.is_lost(0)
    assert not runs.is_lost(0)  # it is at work here by now
    assert not runs.is_lost(2)


def test_a_segment_that_was_there_and_has_gone_is_left_to_the_job() -> None:
    runs = runs_of(Pool(room=2), 3, done=(0, 1, 2))
    assert runs.take() is None
    assert runs.is_lost(1)
    assert not runs.is_lost(1)  # it is at work here by now


def test_a_run_that_was_ordered_as_the_job_ended_is_cancelled() -> None:
    pool = Pool(room=2)
    runs = runs_of(pool, 3)
    order = pool.order

    def slow(wanted: SegmentOrder) -> UUID:
        runs.__exit__()
        return order(wanted)

    pool.order = slow  # type: ignore[method-assign]
    runs.turn()
    assert pool.cancelled == [(0, True)]
    assert list(pool.ordered.values()) == [0]


def test_what_is_rendered_already_is_not_ordered() -> None:
    pool = Pool(room=2)
    runs = runs_of(pool, 5, done=(0, 2, 3))
    runs.turn()
    assert list(pool.ordered.values()) == [1, 4]


def test_the_runs_that_are_left_are_cancelled_at_the_end() -> None:
    pool = Pool(room=1)
    runs = runs_of(pool, 9)
    runs.turn()
    pool.start()
    runs.turn()
    assert numbers_of(pool.at_work, pool) == [0]
    runs.__exit__()
    assert pool.cancelled[0] == (0, False)
    assert all(is_waiting for _, is_waiting in pool.cancelled[1:])
    assert {number for number, _ in pool.cancelled} == set(pool.ordered.values())


def test_a_server_that_is_away_leaves_all_to_the_jobs_own_run() -> None:
    pool = Pool(room=4, is_away=True)
    runs = runs_of(pool, 3)
    with pytest.raises(httpx.ConnectError):
        runs.turn()
    assert [cast(SegmentOrder, runs.take()).number for _ in range(3)] == [2, 1, 0]
    assert pool.ordered == {}


def test_runs_are_ordered_while_the_job_renders() -> None:
    pool = Pool(room=1)
    with runs_of(pool, 3):
        wait_until(lambda: len(pool.ordered) == 2)
    assert {number for number, _ in pool.cancelled} == {0, 1}
