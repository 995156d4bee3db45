"""The search for the first fleet that keeps a goal: right, and with few simulations."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import exp

import pytest

pytest.importorskip("simpy", reason="the capacity plan needs the extra 'service'")
from lipsync_service.capacity import planning
from lipsync_service.capacity.costs import JobCosts, reference_costs
from lipsync_service.capacity.fleet import SERVERS
from lipsync_service.capacity.growth import first_in_time, growth_path
from lipsync_service.capacity.planning import plan, stream, summary
from lipsync_service.capacity.prices import bundled_prices
from lipsync_service.capacity.simulation import SimulatedJob, SimulationResult, Site, Workload, simulate
from lipsync_service.capacity.sizing import Demand, fleets
from tests.thorough import thorough

VISEME = reference_costs("viseme")
LENGTH = 31
CURVES: tuple[Callable[[int], float], ...] = (
    lambda size: 200.0 - 6.0 * size,
    lambda size: 30.0 + 170.0 * exp(-size / 4),
    lambda size: 200.0 - size**2 / 5,
    lambda size: 200.0 if size < 17 else 20.0,
    lambda size: 205.0 - 25.0 * (size // 5),
    lambda size: 100.0,
)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("guess", [0, 5, 17, 30, 99])
def test_the_first_size_in_time_is_found_with_few_questions(curve: Callable[[int], float], guess: int) -> None:
    for goal_s in range(15, 215, 3):
        asked: list[int] = []

        def p95_s(size: int, asked: list[int] = asked) -> float:
            asked.append(size)
            return curve(size)

        expected = next((size for size in range(LENGTH) if curve(size) <= goal_s), None)
        assert first_in_time(p95_s, LENGTH, goal_s, guess) == expected
        assert len(asked) == len(set(asked)) <= 10


def test_a_good_guess_needs_two_questions() -> None:
    asked: list[int] = []

    def p95_s(size: int) -> float:
        asked.append(size)
        return 200.0 - 6.0 * size

    assert first_in_time(p95_s, LENGTH, 110.0, 15) == 15
    assert sorted(asked) == [14, 15]


def test_a_fleet_grows_where_it_is_scarce_and_buys_no_machine_for_a_process_that_has_a_core() -> None:
    demand = Demand(4000, 60.0)
    job = VISEME.for_clip(60.0)
    first = next(fleet for fleet in fleets(demand, VISEME, bundled_prices()) if fleet.control.node)
    path = growth_path(first, first.form_of(job))
    assert len(path) == LENGTH
    by_servers = 0
    for fleet, larger in pairwise(path):
        scarcest = fleet.resources(fleet.form_of(job))[0]
        after = {each.name: each.jobs_per_s for each in larger.resources(larger.form_of(job))}
        assert after[scarcest.name] > scarcest.jobs_per_s
        assert larger.control.node and larger.control.servers <= larger.control.count * larger.control.node.cores
        by_servers += scarcest.name == SERVERS and larger.count == fleet.count
    assert by_servers


@thorough
def test_the_plan_is_that_of_the_search_through_all_sizes() -> None:
    """Within 2 % of its price: the search may pass over a size that is in time by chance."""
    demand, goal_s, burst = Demand(4000, 60.0), 120.0, 334
    job = VISEME.for_clip(60.0)
    cheapest = float("inf")
    for first in fleets(demand, VISEME, bundled_prices()):
        for fleet in growth_path(first, first.form_of(job)):
            form = fleet.form_of(job)
            if summary(simulate(fleet.site(), form, stream(demand, form, burst))).p95_s <= goal_s:
                cheapest = min(cheapest, fleet.price_per_hour)
                break
    held = plan(demand, VISEME, bundled_prices(), burst, goal_s)
    assert held.fleet.price_per_hour == pytest.approx(cheapest, rel=0.02)


def test_a_goal_for_very_many_jobs_takes_few_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation is replaced: one job stands for all, late by what the fleet lacks for the burst."""
    simulated: list[int] = []

    def fluid(site: Site, costs: JobCosts, workload: Workload) -> SimulationResult:
        simulated.append(workload.jobs + workload.burst)
        cores = sum(node.cores for node in site.cpu_nodes)
        spare = min(cores / costs.cpu_s("cpu"), site.control_servers / costs.control_s) - workload.jobs_per_s
        late_s = workload.burst / max(spare, 1e-6)
        job = SimulatedJob(0.0, costs.wall_s() + late_s, is_burst=False, attempts=1, is_failed=False)
        return SimulationResult((replace(job),), {}, 0, job.ended_s)

    monkeypatch.setattr(planning, "simulate", fluid)
    demand = Demand(100_000, 60.0)
    types = sum(fleet.control.node is not None for fleet in fleets(demand, VISEME, bundled_prices()))
    held = plan(demand, VISEME, bundled_prices(), p95_goal_s=150.0)
    assert held.chosen.added_machines > 50  # some twenty sizes of each type
    assert sum(simulated) <= 4 * types * max(simulated)
