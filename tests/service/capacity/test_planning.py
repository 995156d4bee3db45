"""Fleets, prices and the bundled files."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("simpy", reason="the capacity plan needs the extra 'service'")
from lipsync_core.errors import InputError, OptionError
from lipsync_service.capacity.costs import (
    FROM_GPU,
    TO_GPU,
    Footprint,
    JobCosts,
    Step,
    costs_toml,
    read_costs,
    reference_costs,
)
from lipsync_service.capacity.planning import plan, replay
from lipsync_service.capacity.prices import bundled_prices, parse_prices, read_prices
from lipsync_service.capacity.sizing import Demand, Here, fleets

PRICES = parse_prices(
    """
    [[nodes]]
    name = "small"
    cores = 4
    memory_gb = 16
    price_per_hour = 0.2
    [[nodes]]
    name = "card"
    cores = 4
    memory_gb = 16
    price_per_hour = 1.0
    gpus = 1
    gpu_memory_gb = 16
    speed = 0.5
    """
)
COSTS = JobCosts(
    "made up",
    "wav2lip",
    10.0,
    (
        Step("start", "cpu", 1.0, control_s=0.5),
        Step("infer", "gpu", 2.0, gpu_s=3.0, grows=True),
        Step("render", "cpu", 13.0, grows=True),
    ),
    Footprint(spread=0.0),
)


def test_the_arithmetic_of_each_part() -> None:
    # 720 jobs an hour are .2 a second: 14 CPU-seconds make 2.8 cores, at a load of .7 four: one machine. On the GPU
    # pool 3 s of a card of half the speed make 1.2 cards, at .7 two. The control plane takes .1 of a core.
    (fleet,) = fleets(Demand(720, 10.0), COSTS, PRICES)
    assert fleet.gpu is not None
    assert (fleet.cpu.count, fleet.gpu.count, fleet.control.count, fleet.control.servers) == (1, 2, 1, 1)
    assert fleet.price_per_hour == pytest.approx(0.2 + 2.0 + 0.2)
    assert plan(Demand(720, 10.0), COSTS, PRICES).chosen.per_video_minute == pytest.approx(2.4 / 120)
    loads = {each.name: each.load(0.2) for each in fleet.resources(COSTS)}
    assert loads["CPU workers' cores"] == pytest.approx(2.8 / 4)
    assert loads["GPUs"] == pytest.approx(0.6)
    assert loads["control plane's servers"] == pytest.approx(0.1)


def test_what_binds_is_the_scarcest_and_the_next_is_named() -> None:
    answer = plan(Demand(720, 10.0), COSTS, PRICES)
    assert answer.binding.name == "CPU workers' cores"
    assert answer.binding.jobs_per_s == pytest.approx(4 / 14)
    assert answer.next_binding is not None
    assert answer.next_binding.jobs_per_s >= answer.binding.jobs_per_s


def test_only_the_steps_that_grow_follow_the_clip() -> None:
    longer = COSTS.for_clip(30.0)
    assert longer.cpu_s("cpu") == pytest.approx(1.0 + 3 * 13.0)
    assert (longer.gpu_s, longer.control_s) == pytest.approx((9.0, 0.5))


def test_memory_limits_the_runs_of_a_machine() -> None:
    heavy = replace(COSTS, footprint=Footprint(run_bytes=6e9, gpu_run_bytes=5e9))
    (fleet,) = fleets(Demand(10, 10.0), heavy, PRICES)
    assert fleet.cpu.slots == 2  # (16 - 0.3) / 6
    assert fleet.gpu is not None
    assert fleet.gpu.slots == 2  # of 16 GB, and not the 3 that its GPU's memory holds
    with pytest.raises(OptionError, match="no machines"):
        fleets(Demand(10, 10.0), replace(COSTS, footprint=Footprint(run_bytes=20e9)), PRICES)


@pytest.mark.parametrize("model", ["viseme", "wav2lip"])
def test_the_reference_knows_what_it_costs_to_check_to_score_and_to_sign(model: str) -> None:
    costs = reference_costs(model)
    names = [step.name for step in costs.steps]
    assert names[names.index("fetch") + 1] == "check"
    assert names[names.index("render") + 1 : names.index("upload")] == ["score", "sign"]
    steps = {step.name: step for step in costs.steps}
    assert [steps[name].grows for name in ("check", "score", "sign")] == [False, True, False]
    assert 0 < steps["sign"].cpu_s < steps["score"].cpu_s < steps["check"].cpu_s < steps["render"].cpu_s


def test_without_a_network_no_gpu_is_bought_and_one_machine_serves_a_few_jobs() -> None:
    viseme = reference_costs("viseme")
    few, many = (plan(Demand(jobs, 10.0), viseme, bundled_prices()) for jobs in (20, 20_000))
    assert few.fleet.gpu is many.fleet.gpu is None
    assert few.fleet.control.node is None
    assert (few.fleet.cpu.slots, few.fleet.gpu_slots_here) == (few.fleet.cpu.node.cores, 0)
    assert many.fleet.cpu.node.gpus == 0
    assert many.fleet.control.servers > 1


IN_TWO_RUNS = replace(
    COSTS,
    model="viseme",
    steps=(
        Step("start", "cpu", 1.0),
        Step(TO_GPU, "gpu", 2.0),
        Step("track", "gpu", 4.0, grows=True),
        Step(FROM_GPU, "cpu", 0.5),
        Step("render", "cpu", 5.0, grows=True),
    ),
)


def test_without_a_gpu_a_job_that_was_measured_in_two_runs_is_one() -> None:
    """The start of the second run and the handover fall away, and no slot is for a parent that waits."""
    steps = {step.name: step.pool for step in IN_TWO_RUNS.in_one_run().steps}
    assert steps == {"start": "cpu", "track": "cpu", "render": "cpu"}
    answer = replay(8, IN_TWO_RUNS, Here(2.0))
    assert answer.costs.wall_s() == pytest.approx(10.0)
    assert answer.simulated.makespan_s == pytest.approx(40.0)
    assert answer.simulated.longest_queue == 8 - 2
    found = fleets(Demand(720, 10.0), IN_TWO_RUNS, PRICES)
    assert found[0].gpu is None
    assert [bool(each.gpu) for each in found] == [False, False, True]  # machines of its own for the GPU pool


def test_a_gpu_pool_that_is_asked_for_keeps_both_runs() -> None:
    answer = replay(8, IN_TWO_RUNS, Here(2.0, gpu_slots=2))
    assert answer.simulated.makespan_s == pytest.approx(8 * 12.5 / 2)
    assert answer.simulated.longest_queue == 8 - 3  # a run more than cores: one waits for its part
    with pytest.raises(OptionError, match="one run on the CPU pool"):
        replay(8, IN_TWO_RUNS.in_one_run(), Here(2.0, gpu_slots=2))


def test_a_machine_whose_jobs_use_a_gpu_has_one_with_its_own_pool() -> None:
    answer = replay(4, COSTS, Here(2.0))
    assert {each.name for each in answer.resources} >= {"GPUs", "GPU workers' slots"}
    assert answer.simulated.longest_queue == 1
    assert dict(answer.simulated.loads)["GPUs"] == pytest.approx(4 * 3.0 / answer.simulated.makespan_s)


def test_the_goal_adds_workers_where_there_is_no_gpu_pool() -> None:
    demand, job = Demand(5000, 10.0, target_load=0.9), IN_TWO_RUNS.in_one_run()
    free = plan(demand, job, PRICES)
    goal_s = (free.simulated.p95_s + job.wall_s()) / 2
    held = plan(demand, job, PRICES, p95_goal_s=goal_s)
    assert held.fleet.cpu.count > free.fleet.cpu.count
    assert held.fleet.control == free.fleet.control


def test_a_goal_for_the_95th_percentile_adds_machines_until_it_is_met() -> None:
    demand = Demand(720, 10.0, target_load=0.9)
    free = plan(demand, COSTS, PRICES)
    goal_s = (free.simulated.p95_s + COSTS.wall_s()) / 2
    held = plan(demand, COSTS, PRICES, p95_goal_s=goal_s)
    assert held.simulated.p95_s <= goal_s < free.simulated.p95_s
    assert held.chosen.added_machines > 0
    assert held.fleet.price_per_hour > free.fleet.price_per_hour
    with pytest.raises(OptionError, match="nothing else running"):
        plan(demand, COSTS, PRICES, p95_goal_s=5.0)


def test_a_replay_takes_the_slots_of_the_local_stack() -> None:
    costs = replace(COSTS, steps=(Step("render", "cpu", 10.0),))
    summary = replay(8, costs, Here(2.0)).simulated
    assert summary.makespan_s == pytest.approx(40.0)
    assert summary.longest_queue == 8 - 2
    assert replay(8, costs, Here(2.0, cpu_slots=8)).simulated.longest_queue == 0


def test_costs_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(costs_toml(COSTS))
    assert read_costs(path, "wav2lip") == COSTS
    with pytest.raises(InputError, match="no costs of the model 'viseme'"):
        read_costs(path, "viseme")


@pytest.mark.parametrize(
    ("old", "new"),
    [("cpu_s = 13.0", "cpu_s = -1"), ("cpu_s = 13.0", "cpu_s = nan"), ('pool = "gpu"', 'pool = "tpu"'), ("[[", "[")],
)
def test_costs_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "costs.toml"
    text = costs_toml(COSTS)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match="holds no costs"):
        read_costs(path, "wav2lip")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("cores = 4", "cores = 0", "cores of the node 'cpu-4' is 0, not 0.001 to 1,000,000"),
        ("cores = 4", "cores = nan", "cores of the node 'cpu-4' is nan, not 0.001"),
        ("price_per_hour = 0.19", "price_per_hour = -1", "price_per_hour of the node 'cpu-4' is -1, not 0 to"),
        ("gpus = 1", "gpus = inf", "gpus of the node 'RTX 3090' is inf, not 0 to"),
        ("cores = 4", 'cores = "four"', "no number"),
        ("cores = 4\n", "", "lacks a field"),
        ("cores = 4", "cores = 4\ncolour = 1", "unknown field 'colour'"),
        ('name = "cpu-4"', 'name = "cpu-8"', "two nodes have one name"),
        ("[[nodes]]", "[nodes", ""),
    ],
)
def test_a_price_table_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    from lipsync_service.capacity.prices import bundled_prices_toml

    text = bundled_prices_toml()
    assert old in text
    path = tmp_path / "prices.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=f"holds no price table: .*{fault}"):
        read_prices(path)


def test_the_bundled_table_has_the_cards_of_the_plan() -> None:
    assert {"RTX 3090", "RTX 3060", "T4", "L4"} == {node.name for node in bundled_prices().gpu_nodes}
    names = {fleet.type_name for fleet in fleets(Demand(400, 60.0), reference_costs("wav2lip"), bundled_prices())}
    assert names == {"RTX 3090", "RTX 3060", "T4", "L4"}


def test_of_machines_that_cost_the_same_fewer_are_taken() -> None:
    # 3 s of a card for .2 jobs a second, at a load of .7, are two cards of half the speed, or one of full speed. The
    # prices are such that 3 x .1 + .1 + .1 and .3 + .1 + .1 differ in binary, by less than any price.
    slow, fast = (replace(PRICES.gpu_nodes[0], name=f"{speed:g}", speed=speed) for speed in (0.3, 1.0))
    nodes = (replace(slow, price_per_hour=0.1), replace(fast, price_per_hour=0.3))
    cpu = replace(PRICES.cpu_nodes[0], price_per_hour=0.1)
    fleet = plan(Demand(720, 10.0), COSTS, replace(PRICES, nodes=(cpu, *nodes))).fleet
    assert fleet.gpu is not None
    assert (fleet.gpu.node.name, fleet.gpu.count) == ("1", 1)


@pytest.mark.parametrize("jobs_per_hour", [20, 2000])
def test_the_other_machines_are_of_other_types_each_named_once(jobs_per_hour: int) -> None:
    answer = plan(Demand(jobs_per_hour, 10.0), reference_costs("viseme"), bundled_prices())
    others = [option.fleet.type_name for option in answer.others]
    assert others and len(set(others)) == len(others)
    assert answer.fleet.type_name not in others


def test_the_goal_holds_for_the_other_machines_too_and_the_cheapest_that_keeps_it_is_taken() -> None:
    demand, goal_s = Demand(400, 60.0), 60.0
    held = plan(demand, reference_costs("viseme"), bundled_prices(), p95_goal_s=goal_s)
    for option in (held.chosen, *held.others):
        assert option.simulated is not None and option.simulated.p95_s <= goal_s
        assert option.per_video_minute >= held.chosen.per_video_minute


def test_a_single_machine_does_not_become_two_without_a_control_plane() -> None:
    demand, costs = Demand(400, 60.0), reference_costs("viseme")
    assert plan(demand, costs, bundled_prices()).fleet.control.node is None
    held = plan(demand, costs, bundled_prices(), p95_goal_s=60.0)
    for option in (held.chosen, *held.others):
        assert option.fleet.cpu.count == 1 or option.fleet.control.node is not None


NOTHING = {"cpu_s": 0, "wait_s": 0, "gpu_s": 0, "control_s": 0}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (NOTHING, "all steps of the job together take less than 0.001 s"),
        (dict.fromkeys(NOTHING, 1e-300), "all steps of the job together"),
        ({"clip_s": "1e-300"}, "the length of the clip is not between"),
        ({"cpu_s": "1e300"}, "not between 0 and 1e"),
        ({"threads": "0"}, "threads of the step 'start' are not between"),
        ({"threads": "true"}, "threads of a step is no number"),
        ({"grows": "7"}, "grows of a step is no 'true' or 'false'"),
        ({"name": "7"}, "name of a step is no text"),
        ({"crash_rate": "1"}, "crash_rate of the footprint"),
        ({"colour": "1"}, "unknown field 'colour'"),
    ],
)
def test_costs_fail_when_no_job_has_them(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    path, text = tmp_path / "costs.toml", costs_toml(reference_costs("wav2lip"))
    for name, value in changes.items():
        text = re.sub(rf"^{name} = .*", f"{name} = {value}", text, flags=re.MULTILINE)
    path.write_text(text if text != costs_toml(reference_costs("wav2lip")) else f"{text}colour = 1\n")
    with pytest.raises(InputError, match=f"holds no costs: .*{fault}"):
        read_costs(path, "wav2lip")


@pytest.mark.parametrize("text", ["jobs = 3", "[jobs]", "[[jobs]]", "[[jobs]]\nsteps = 3", "a = " + 9000 * "["])
def test_costs_fail_when_the_file_has_another_form(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="holds no costs: "):
        read_costs(path, "wav2lip")


@pytest.mark.parametrize("clip_s", [86_400.0, 0.1])
def test_a_plan_fails_when_the_costs_do_not_serve_the_clips_length(clip_s: float) -> None:
    step = Step("render", "cpu", 100.0 if clip_s > 1 else 0.001, grows=True)
    costs = JobCosts("made up", "viseme", 1.0, (step,))
    with pytest.raises(OptionError, match="do not serve one of"):
        plan(Demand(400, clip_s), costs, PRICES)


def test_a_plan_is_made_of_costs_that_use_next_to_nothing_of_a_resource() -> None:
    steps = (Step("render", "cpu", 5e-324, wait_s=1.0, control_s=5e-324),)
    answer = plan(Demand(400, 10.0), JobCosts("made up", "viseme", 10.0, steps, Footprint(run_bytes=0.0)), PRICES)
    assert [resource.name for resource in answer.resources] == ["CPU workers' slots"]
