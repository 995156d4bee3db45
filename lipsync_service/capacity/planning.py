"""The plan: the cheapest fleet by arithmetic, then checked, and where needed enlarged, by simulation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from lipsync_core.errors import OptionError
from lipsync_service.capacity.costs import JobCosts
from lipsync_service.capacity.fleet import Fleet, Resource
from lipsync_service.capacity.prices import PriceTable
from lipsync_service.capacity.simulation import SimulatedJob, SimulationResult, Workload, simulate
from lipsync_service.capacity.sizing import Demand, Here, Option, grown, options

_HOUR_S = 3600.0
_JOBS = (1000, 20_000)  # of the simulated stream: at least, and at most
_LATENCIES = 5  # the stream lasts at least so many times as long as a job alone
_MAX_GROWTHS = 60
_PERCENTS = range(0, 101, 5)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation says, in seconds and jobs."""

    jobs: int
    failed: int
    attempts: int
    jobs_per_hour: float
    median_s: float
    p95_s: float
    longest_queue: int
    burst: int
    burst_p95_s: float | None  # of the jobs that came at once; None without any
    burst_last_s: float | None  # from the burst to the end of its last job
    makespan_s: float
    loads: tuple[tuple[str, float], ...]  # shares of what there is, the highest first
    latency_percentiles: tuple[tuple[float, float], ...]  # percent of the jobs, and the seconds within which they end


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The answer to: how many machines, and what do they cost?"""

    demand: Demand
    costs: JobCosts  # for a clip of the demand's length, in the form that a job has on the fleet
    currency: str
    options: tuple[Option, ...]  # the cheapest first, as the arithmetic has them
    fleet: Fleet  # the one that was simulated
    resources: tuple[Resource, ...]  # of that fleet, the scarcest first
    simulated: Summary
    added_machines: int  # that the arithmetic did not ask for and the simulation did

    @property
    def per_video_minute(self) -> float:
        """The price of a minute of video."""
        return self.fleet.price_per_hour / self.demand.video_minutes_per_hour

    @property
    def binding(self) -> Resource:
        """The resource that is used up first as jobs grow."""
        return self.resources[0]

    @property
    def next_binding(self) -> Resource | None:
        """The one after it, of another part of the service, once there is enough of the first."""
        return self.resources[1] if len(self.resources) > 1 else None


def plan(
    demand: Demand, costs: JobCosts, prices: PriceTable, burst: int | None = None, p95_goal_s: float | None = None
) -> CapacityPlan:
    """Plan for the demand. By default the simulated burst is a twelfth of an hour's jobs at once.

    With `p95_goal_s` machines are added to the part with the highest load until 95 % of the simulated jobs end within
    that time.

    Raises:
        OptionError: the table's machines cannot do it, or the goal cannot be met.
    """
    found = options(demand, costs, prices)
    fleet, added = found[0].fleet, 0
    job = fleet.form_of(costs.for_clip(demand.clip_s))
    if p95_goal_s is not None and job.wall_s() > p95_goal_s:
        message = f"a job takes {job.wall_s():.1f} s with nothing else running, more than the goal of {p95_goal_s:g} s"
        raise OptionError(message, "give a longer --p95-seconds")
    workload = stream(demand, job, ceil(demand.jobs_per_hour / 12) if burst is None else burst)
    simulated = summary(simulate(fleet.site(), job, workload))
    while p95_goal_s is not None and simulated.p95_s > p95_goal_s:
        if added == _MAX_GROWTHS:
            raise OptionError(f"{added} more machines do not bring the 95th percentile to {p95_goal_s:g} s")
        fleet, added = grown(fleet, _most_loaded(fleet, job, simulated)), added + 1
        simulated = summary(simulate(fleet.site(), job, workload))
    resources = tuple(fleet.resources(job))
    return CapacityPlan(demand, job, prices.currency, tuple(found), fleet, resources, simulated, added)


@dataclass(frozen=True, slots=True)
class Replay:
    """What one machine would make of jobs that come at once."""

    jobs: int
    costs: JobCosts
    here: Here
    resources: tuple[Resource, ...]  # of the machine, the scarcest first
    simulated: Summary


def replay(jobs: int, job: JobCosts, here: Here) -> Replay:
    """Foretell `jobs` jobs that come at once on a machine that has all parts of the service.

    Raises:
        OptionError: the machine has slots for a GPU pool, and the job no part there.
    """
    fleet = here.fleet(job)
    job = fleet.form_of(job)
    simulated = summary(simulate(fleet.site(), job, Workload(jobs=0, jobs_per_s=1.0, burst=jobs)))
    return Replay(jobs, job, here, tuple(fleet.resources(job)), simulated)


def stream(demand: Demand, job: JobCosts, burst: int) -> Workload:
    """Jobs at the demanded rate for long enough, with the burst a third of the way in."""
    jobs = ceil(min(max(_JOBS[0], _LATENCIES * demand.jobs_per_s * job.wall_s()), _JOBS[1]))
    return Workload(jobs, demand.jobs_per_s, burst, burst_at_s=jobs / demand.jobs_per_s / 3)


def summary(result: SimulationResult) -> Summary:
    """The figures of one simulation."""
    latencies = [job.latency_s for job in result.jobs]
    burst = [job for job in result.jobs if job.is_burst]
    first_s = min(job.arrived_s for job in result.jobs)
    return Summary(
        jobs=len(result.jobs),
        failed=sum(job.is_failed for job in result.jobs),
        attempts=sum(job.attempts for job in result.jobs),
        jobs_per_hour=len(result.jobs) / (result.makespan_s - first_s) * _HOUR_S,
        median_s=float(np.percentile(latencies, 50)),
        p95_s=float(np.percentile(latencies, 95)),
        longest_queue=result.longest_queue,
        burst=len(burst),
        burst_p95_s=_p95_s(burst),
        burst_last_s=max((job.latency_s for job in burst), default=None),
        makespan_s=result.makespan_s,
        loads=tuple(sorted(result.loads.items(), key=lambda each: -each[1])),
        latency_percentiles=tuple((float(each), float(np.percentile(latencies, each))) for each in _PERCENTS),
    )


def _p95_s(jobs: Sequence[SimulatedJob]) -> float | None:
    return float(np.percentile([job.latency_s for job in jobs], 95)) if jobs else None


def _most_loaded(fleet: Fleet, job: JobCosts, simulated: Summary) -> Resource:
    """The resource of the fleet that the simulation used most; slots and servers have no such figure."""
    loads = dict(simulated.loads)
    return max(fleet.resources(job), key=lambda each: loads.get(each.name, 0.0))
