"""A worker polls once for what it heard, again where a poll came too early, and not where another was faster."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_service.worker.due_runs import DueRuns

RUN = uuid4()


class Pool:
    """Counts polls; a poll finds the runs in `shown`."""

    def __init__(self, shown: set[UUID], shows_after: int = 0) -> None:
        self.shown = shown
        self.shows_after = shows_after
        self.polls = 0
        self.polled = asyncio.Event()

    async def poll(self) -> set[UUID]:
        self.polls += 1
        self.polled.set()
        return self.shown if self.polls > self.shows_after else set()


def served(pool: Pool, act: Callable[[DueRuns], Awaitable[None]], delay_s: float = 0.0) -> None:
    """Serve the due runs while `act` uses them, and until nothing more can happen."""

    async def serve() -> None:
        due = DueRuns(pool.poll, lambda: delay_s)
        service = asyncio.create_task(due.serve())
        await act(due)
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)

    asyncio.run(serve())


def test_a_run_that_is_heard_of_is_polled_for_once() -> None:
    pool = Pool({RUN})

    async def act(due: DueRuns) -> None:
        due.add(RUN)
        await pool.polled.wait()
        await asyncio.sleep(0.5)  # a second poll would come after 0.2 s

    served(pool, act)
    assert pool.polls == 1


def test_several_runs_are_found_by_one_poll() -> None:
    runs = {uuid4() for _ in range(8)}
    pool = Pool(runs)

    async def act(due: DueRuns) -> None:
        for run in runs:
            due.add(run)
        await pool.polled.wait()
        await asyncio.sleep(0.5)

    served(pool, act)
    assert pool.polls == 1


def test_a_run_that_the_server_has_not_committed_yet_is_polled_for_again() -> None:
    pool = Pool({RUN}, shows_after=1)

    async def act(due: DueRuns) -> None:
        due.add(RUN)
        while pool.polls < 2:
            pool.polled.clear()
            await pool.polled.wait()
        await asyncio.sleep(1.3)  # a third poll would come after 1 s

    served(pool, act)
    assert pool.polls == 2


def test_a_run_that_no_poll_shows_is_left_to_the_regular_polls() -> None:
    pool = Pool(set())

    async def act(due: DueRuns) -> None:
        due.add(RUN)
        await asyncio.sleep(3.5)

    served(pool, act)
    assert pool.polls == 3


def test_a_run_that_another_worker_took_meanwhile_is_not_polled_for() -> None:
    pool = Pool({RUN})

    async def act(due: DueRuns) -> None:
        due.add(RUN)
        await asyncio.sleep(0)
        due.discard(RUN)
        await asyncio.sleep(0.5)

    served(pool, act, delay_s=0.2)
    assert pool.polls == 0


def test_a_ring_polls_although_nothing_is_due() -> None:
    pool = Pool(set())

    async def act(due: DueRuns) -> None:
        due.ring()
        await pool.polled.wait()
        await asyncio.sleep(0.3)

    served(pool, act)
    assert pool.polls == 1
