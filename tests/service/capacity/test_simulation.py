"""The simulation against results that are known without it."""

from dataclasses import replace

import pytest

pytest.importorskip("simpy", reason="the capacity plan needs the extra 'service'")
from lipsync_service.capacity.costs import Footprint, JobCosts, Step
from lipsync_service.capacity.simulation import Site, WorkerNode, Workload, simulate

STEADY = Footprint(spread=0.0)
CPU = JobCosts("made up", "viseme", 10.0, (Step("render", "cpu", cpu_s=2.0),), STEADY)
BOTH = replace(CPU, steps=(Step("start", "cpu", 1.0), Step("infer", "gpu", 2.0), Step("render", "cpu", 3.0)))


def one_machine(cores: float, cpu_slots: int, gpu_slots: int) -> Site:
    return Site((WorkerNode(cores, cpu_slots),), (), gpu_slots)


def at_once(jobs: int) -> Workload:
    return Workload(jobs=0, jobs_per_s=1.0, burst=jobs)


def test_a_job_alone_takes_the_sum_of_its_steps() -> None:
    steps = (Step("start", "cpu", 1.0, wait_s=0.5, control_s=0.25), Step("render", "cpu", 4.0, threads=2.0))
    costs = replace(CPU, steps=steps)
    (job,) = simulate(one_machine(2, 3, 2), costs, at_once(1)).jobs
    assert job.latency_s == pytest.approx(0.25 + 0.5 + 1.0 + 2.0) == pytest.approx(costs.wall_s())


def test_jobs_at_once_keep_the_cores_busy_to_the_end() -> None:
    result = simulate(one_machine(2, 4, 4), CPU, at_once(32))
    assert result.makespan_s == pytest.approx(32 * 2.0 / 2)
    assert result.loads["CPU workers' cores"] == pytest.approx(1.0)
    assert result.longest_queue == 28


def test_too_few_slots_leave_cores_idle() -> None:
    result = simulate(one_machine(2, 1, 1), BOTH, at_once(4))
    assert result.makespan_s == pytest.approx(4 * 6.0)
    assert result.loads["CPU workers' cores"] == pytest.approx(0.5)


def test_the_slots_of_the_gpu_pool_can_be_what_binds() -> None:
    waiting = replace(CPU, steps=(Step("infer", "gpu", wait_s=5.0),))
    assert simulate(one_machine(8, 8, 1), waiting, at_once(4)).makespan_s == pytest.approx(20.0)
    assert simulate(one_machine(8, 8, 4), waiting, at_once(4)).makespan_s == pytest.approx(5.0)


def test_a_faster_gpu_shortens_its_part_only() -> None:
    costs = replace(CPU, steps=(Step("infer", "gpu", cpu_s=1.0, gpu_s=2.0),))
    sites = [Site((WorkerNode(1, 1),), (WorkerNode(1, 1, gpus=1, gpu_speed=speed),)) for speed in (1.0, 4.0)]
    assert [simulate(site, costs, at_once(1)).makespan_s for site in sites] == pytest.approx([3.0, 1.5])


def test_the_control_planes_server_answers_one_at_a_time() -> None:
    costs = replace(CPU, steps=(Step("start", "cpu", control_s=1.0),))
    nodes = (WorkerNode(8, 8),)
    one, two = (Site(nodes, (), 8, control_cores=4, control_servers=servers) for servers in (1, 2))
    assert simulate(one, costs, at_once(8)).makespan_s == pytest.approx(8.0)
    assert simulate(two, costs, at_once(8)).makespan_s == pytest.approx(4.0)


def test_an_idle_control_plane_takes_its_cores_from_the_machine_it_shares() -> None:
    costs = replace(CPU, footprint=Footprint(spread=0.0, control_idle_cores=0.5))
    assert simulate(one_machine(2, 4, 4), costs, at_once(30)).makespan_s == pytest.approx(60.0 / 1.5)


def test_a_stream_has_the_mean_time_of_processor_sharing() -> None:
    """M/G/1 with processor sharing: the mean is s / (1 - load), whatever the distribution (Kleinrock, 1976)."""
    costs = replace(CPU, footprint=Footprint(spread=0.5))
    stream = Workload(jobs=8000, jobs_per_s=0.3)
    jobs = simulate(one_machine(1, 1000, 1000), costs, stream).jobs
    mean_s = sum(job.latency_s for job in jobs) / len(jobs)
    assert mean_s == pytest.approx(2.0 / (1 - 0.6), rel=0.1)


def test_a_crash_costs_another_attempt_and_the_third_is_final() -> None:
    costs = replace(BOTH, footprint=Footprint(spread=0.0, crash_rate=0.5, recovery_s=10.0))
    jobs = simulate(one_machine(8, 8, 8), costs, Workload(400, 1.0)).jobs
    assert {job.attempts for job in jobs} == {1, 2, 3}
    failed = [job for job in jobs if job.is_failed]
    assert all(job.attempts == 3 for job in failed)
    assert len(failed) / len(jobs) == pytest.approx(0.125, abs=0.05)
    assert min(job.latency_s for job in jobs if job.attempts == 3) > 20.0


def test_the_same_seed_gives_the_same_result() -> None:
    stream = Workload(50, 0.2, burst=5, burst_at_s=60.0)
    costs = replace(BOTH, footprint=Footprint(spread=0.3))
    first, second = (simulate(one_machine(2, 3, 2), costs, stream) for _ in range(2))
    assert first == second
    assert first != simulate(one_machine(2, 3, 2), costs, replace(stream, seed=2))
    assert sum(job.is_burst for job in first.jobs) == 5
