"""An idle worker of a pool as Prefect's server sees it: its heartbeats, polls and event stream, without any run."""

import asyncio
import random
from uuid import UUID

import httpx

from lipsync_service.worker.due_runs import DueRuns, spread_s
from lipsync_service.worker.run_events import run_events

_HEARTBEAT_S = 30.0
#: The seconds between polls, of a worker that hears and of one that only polls.
_POLL_S = {"hear": 15.0, "poll": 0.25}


class WorkerStub:
    """One idle worker."""

    def __init__(self, api_url: str, pool: str, name: str, count: int) -> None:
        self._client = httpx.AsyncClient(base_url=api_url, timeout=60)
        self._pool = f"/work_pools/{pool}"
        self._name = name
        self._spread_s = spread_s(count)

    async def live(self, way: str) -> None:
        """Send heartbeats and find runs in this way, `hear` or `poll`, until the task is cancelled."""
        await asyncio.sleep(random.uniform(0, 3))
        services = [self._every(_HEARTBEAT_S, self._heartbeat), self._every(_POLL_S[way], self._poll)]
        if way == "hear":
            due = DueRuns(self._poll, lambda: random.uniform(0, self._spread_s))
            services += [self._listen(due), due.serve()]
        await asyncio.gather(*services)

    async def _every(self, seconds: float, act: object) -> None:
        while True:
            await act()  # type: ignore[operator]
            await asyncio.sleep(seconds * random.uniform(0.7, 1.3))

    async def _heartbeat(self) -> None:
        await self._client.post(f"{self._pool}/workers/heartbeat", json={"name": self._name})

    async def _poll(self) -> set[UUID]:
        answer = await self._client.post(f"{self._pool}/get_scheduled_flow_runs", json={})
        return {UUID(entry["flow_run"]["id"]) for entry in answer.raise_for_status().json()}

    async def _listen(self, due: DueRuns) -> None:
        pool_id = UUID((await self._client.get(self._pool)).json()["id"])
        async for event in run_events(pool_id):
            if event is not None:
                due.add(event.run_id) if event.is_due else due.discard(event.run_id)
