"""The plan: the cheapest fleet by arithmetic, then checked, and where needed enlarged, by simulation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from lipsync_core.errors import OptionError
from lipsync_service.capacity.costs import JobCosts
from lipsync_service.capacity.fleet import Fleet, Resource
from lipsync_service.capacity.growth import first_in_time, growth_path
from lipsync_service.capacity.prices import PriceTable
from lipsync_service.capacity.simulation import SimulatedJob, SimulationResult, Workload, simulate
from lipsync_service.capacity.sizing import Demand, Here, fleets, price_order

_HOUR_S = 3600.0
_JOBS = (1000, 20_000)  # of the simulated stream: at least, and at most
_LATENCIES = 5  # the stream lasts at least so many times as long as a job alone
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
class Option:
    """A fleet that does the demanded jobs, and in time where there is a goal."""

    fleet: Fleet
    per_video_minute: float  # its price
    simulated: Summary | None = None  # without a goal, the arithmetic alone says that it does
    added_machines: int = 0  # that the arithmetic did not ask for and the goal does


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The answer to: how many machines, and what do they cost?"""

    demand: Demand
    costs: JobCosts  # for a clip of the demand's length, in the form that a job has on the fleet
    currency: str
    chosen: Option
    others: tuple[Option, ...]  # the cheapest of each other type of machine, the cheapest first
    resources: tuple[Resource, ...]  # of the chosen fleet, the scarcest first
    simulated: Summary  # of the chosen fleet
    p95_goal_s: float | None = None

    @property
    def fleet(self) -> Fleet:
        """The machines that cost least."""
        return self.chosen.fleet

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

    With `p95_goal_s` every fleet is enlarged until 95 % of its simulated jobs end within that time, and the cheapest of
    these is taken.

    Raises:
        OptionError: the table's machines cannot do it, or the goal cannot be met.
    """
    found = fleets(demand, costs, prices)
    job = costs.for_clip(demand.clip_s)
    check = _Check(demand, job, ceil(demand.jobs_per_hour / 12) if burst is None else burst)
    if p95_goal_s is None:
        chosen, *others = (check.option(fleet) for fleet in found)
    else:
        chosen, *others = _in_time(check, found, p95_goal_s)
    form = chosen.fleet.form_of(job)
    return CapacityPlan(
        demand=demand,
        costs=form,
        currency=prices.currency,
        chosen=chosen,
        others=_other_types(chosen, others),
        resources=tuple(chosen.fleet.resources(form)),
        simulated=chosen.simulated or check.simulated(chosen.fleet),
        p95_goal_s=p95_goal_s,
    )


@dataclass(frozen=True, slots=True)
class _Check:
    """Simulates fleets with the jobs of one demand."""

    demand: Demand
    job: JobCosts  # for a clip of the demand's length
    burst: int

    def option(self, fleet: Fleet) -> Option:
        """The fleet with its price."""
        return Option(fleet, fleet.price_per_hour / self.demand.video_minutes_per_hour)

    def simulated(self, fleet: Fleet) -> Summary:
        """What the simulation says of the fleet."""
        form = fleet.form_of(self.job)
        return summary(simulate(fleet.site(), form, stream(self.demand, form, self.burst)))

    def alone_s(self, fleet: Fleet) -> float:
        """Seconds of a job on the fleet with nothing else running."""
        return fleet.alone_s(fleet.form_of(self.job))

    def in_time(self, fleet: Fleet, goal_s: float, guess: int) -> tuple[Option, int] | None:
        """The fleet with as many more machines as the goal needs, and how often it grew for that.

        None where more machines do not bring it about. The nearer `guess` is to the second, the fewer fleets are
        simulated.
        """
        path = growth_path(fleet, fleet.form_of(self.job))
        found: dict[int, Summary] = {}

        def p95_s(growths: int) -> float:
            found[growths] = self.simulated(path[growths])
            return found[growths].p95_s

        growths = first_in_time(p95_s, len(path), goal_s, guess)
        if growths is None:
            return None
        grown_fleet = path[growths]
        added = grown_fleet.count - fleet.count
        return replace(self.option(grown_fleet), simulated=found[growths], added_machines=added), growths


def _in_time(check: _Check, found: Sequence[Fleet], goal_s: float) -> list[Option]:
    """The fleets with the machines that the goal needs, the cheapest first; without those that cannot meet it.

    Raises:
        OptionError: none can.
    """
    alone_s = min(check.alone_s(fleet) for fleet in found)
    if alone_s > goal_s:
        message = f"a job takes {alone_s:.1f} s with nothing else running, more than the goal of {goal_s:g} s"
        raise OptionError(message, "give a longer --p95-seconds")
    options, growths = [], 0
    for fleet in found:
        enlarged = check.in_time(fleet, goal_s, growths) if check.alone_s(fleet) <= goal_s else None
        if enlarged is not None:
            option, growths = enlarged  # other machines need about as much growth as these
            options.append(option)
    if not options:
        message = f"more machines do not bring the 95th percentile to {goal_s:g} s"
        raise OptionError(message, "give a longer --p95-seconds, or a smaller --burst")
    return sorted(options, key=lambda option: price_order(option.fleet))


def _other_types(chosen: Option, others: Sequence[Option]) -> tuple[Option, ...]:
    """The first option of each type of machine but the chosen one's."""
    of_type: dict[str, Option] = {}
    for option in others:
        of_type.setdefault(option.fleet.type_name, option)
    of_type.pop(chosen.fleet.type_name, None)
    return tuple(of_type.values())


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
