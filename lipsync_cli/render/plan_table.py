"""A capacity plan as text and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from lipsync_service.capacity.costs import JobCosts
from lipsync_service.capacity.fleet import Fleet, Resource
from lipsync_service.capacity.long_job import LongJob
from lipsync_service.capacity.planning import CapacityPlan, Option, Replay, Summary

_HOUR_S = 3600.0
_SCHEMA = "lipsync.plan/1"


def render_text(answer: CapacityPlan | Replay | LongJob) -> str:
    """The answer for people."""
    if isinstance(answer, LongJob):
        return "\n".join(_long_job_lines(answer))
    lines = _plan_lines(answer) if isinstance(answer, CapacityPlan) else _replay_lines(answer)
    return "\n".join(lines)


def render_json(answer: CapacityPlan | Replay | LongJob) -> str:
    """The answer as one object."""
    if isinstance(answer, LongJob):
        body = _long_job_object(answer)
    else:
        body = _plan_object(answer) if isinstance(answer, CapacityPlan) else _replay_object(answer)
    return json.dumps({"schema": _SCHEMA, **body}, indent=2)


def machines(fleet: Fleet) -> list[tuple[str, str, float]]:
    """Each part of the fleet: its name, its machines in words, and its price for an hour."""
    cpu, gpu, control = fleet.cpu, fleet.gpu, fleet.control
    if gpu is None and control.node is None:
        words = f"{cpu.count} x {cpu.node.name}, {cpu.slots} runs at once"
        return [("everything", words, cpu.price_per_hour)]
    parts = [("CPU workers", f"{cpu.count} x {cpu.node.name}, {cpu.slots} runs at once each", cpu.price_per_hour)]
    if gpu:
        words = f"{gpu.count} x {gpu.node.name}, {gpu.slots} runs at once each"
        parts.append(("GPU workers", words, gpu.price_per_hour))
    if control.node:
        words = f"{control.count} x {control.node.name}, {control.servers} server process(es)"
        parts.append(("control plane", words, control.price_per_hour))
    return parts


def totals(fleet: Fleet) -> dict[str, float]:
    """Cores, GPUs and memory in GB of all machines."""
    kinds = [(fleet.cpu.count, fleet.cpu.node)]
    kinds += [(fleet.gpu.count, fleet.gpu.node)] if fleet.gpu else []
    kinds += [(fleet.control.count, fleet.control.node)] if fleet.control.node else []
    return {
        "cores": sum(count * node.cores for count, node in kinds),
        "gpus": sum(count * node.gpus for count, node in kinds),
        "memory_gb": sum(count * node.memory_gb for count, node in kinds),
    }


def option_name(option: Option) -> str:
    """The machines that tell this option from the others."""
    fleet = option.fleet
    if fleet.gpu is None and fleet.control.node is None:
        return f"one {fleet.type_name} for everything"
    return f"{(fleet.gpu or fleet.cpu).count} x {fleet.type_name}"


def binding_text(resources: Sequence[Resource]) -> str:
    """What binds, to how many jobs it suffices, and what is next."""
    first, *others = resources
    text = f"{first.name} bind: they carry {_per_hour(first)} jobs an hour at full load"
    following = others[0] if others else None
    return f"{text}; next are {following.name}, at {_per_hour(following)}." if following else f"{text}."


def _per_hour(resource: Resource) -> str:
    return f"{resource.jobs_per_s * _HOUR_S:,.0f}"


def _plan_lines(plan: CapacityPlan) -> Iterator[str]:
    demand, whole = plan.demand, totals(plan.fleet)
    yield f"{demand.jobs_per_hour:,g} jobs an hour, each {demand.clip_s:g} s of video, model {plan.costs.model}"
    yield from _cost_lines(plan.costs)
    yield ""
    for name, words, price in machines(plan.fleet):
        yield f"{name:16} {words:48} {price:8.2f} {plan.currency} an hour"
    amounts = f"{whole['cores']:g} cores, {whole['gpus']:g} GPUs, {whole['memory_gb']:g} GB of memory"
    yield f"{'in all':16} {amounts:48} {plan.fleet.price_per_hour:8.2f} {plan.currency} an hour"
    yield f"{'':65} {plan.chosen.per_video_minute:8.4f} {plan.currency} a minute of video"
    if plan.chosen.added_machines:
        yield f"{plan.chosen.added_machines} of these machines are there for the 95th percentile only"
    yield ""
    yield "load of each part"
    for resource in plan.resources:
        yield f"  {resource.name:34} {100 * resource.load(demand.jobs_per_s):5.1f} %"
    yield binding_text(plan.resources)
    yield from _other_lines(plan)
    yield ""
    yield from _summary_lines(plan.simulated)


def _other_lines(plan: CapacityPlan) -> Iterator[str]:
    if not plan.others:
        return
    yield ""
    yield "other machines" if plan.p95_goal_s is None else f"other machines, for the goal of {plan.p95_goal_s:g} s"
    for option in plan.others:
        each = f"{option.fleet.price_per_hour:8.2f} an hour, {option.per_video_minute:.4f} a minute of video"
        in_time = f"; 95th percentile {option.simulated.p95_s:.1f} s" if option.simulated else ""
        yield f"  {option_name(option):30} {each}{in_time}"


def _replay_lines(replay: Replay) -> Iterator[str]:
    slots = f"{replay.here.cores:g} cores"
    yield f"{replay.jobs} jobs at once on one machine with {slots}, model {replay.costs.model}"
    yield from _cost_lines(replay.costs)
    yield ""
    yield from _summary_lines(replay.simulated)
    yield binding_text(replay.resources)


def _cost_lines(costs: JobCosts) -> Iterator[str]:
    yield f"costs of a job: {costs.source}"
    runs = [("CPU pool", costs.cpu_s("cpu")), ("GPU pool", costs.cpu_s("gpu"))]
    parts = [*(runs if costs.has_gpu_pool else [("run", costs.cpu_s("cpu"))]), ("control plane", costs.control_s)]
    seconds = ", ".join(f"{name} {cpu_s:.1f}" for name, cpu_s in parts)
    gpu = f"; {costs.gpu_s:.2f} s of an RTX 3090" if costs.gpu_s else ""
    yield f"  CPU-seconds: {seconds}{gpu}; {costs.wall_s():.1f} s with nothing else running"


def _summary_lines(summary: Summary) -> Iterator[str]:
    yield f"simulation of {summary.jobs:,} jobs, {summary.attempts - summary.jobs:,} attempts more after crashes"
    yield f"  from arrival to end: median {summary.median_s:.1f} s, 95th percentile {summary.p95_s:.1f} s"
    yield f"  at most {summary.longest_queue:,} jobs waited for a worker; {summary.failed:,} failed for good"
    if 0 < summary.burst < summary.jobs and summary.burst_last_s is not None:
        yield f"  a burst of {summary.burst:,} jobs at once was done after {summary.burst_last_s:.0f} s"
    if summary.burst == summary.jobs:
        yield f"  all done after {summary.makespan_s:.1f} s: {summary.jobs_per_hour:,.1f} jobs an hour"
    loads = ", ".join(f"{name} {100 * load:.0f} %" for name, load in summary.loads)
    yield f"  in use: {loads}"


def _plan_object(plan: CapacityPlan) -> dict[str, object]:
    demand = plan.demand
    return {
        "jobs_per_hour": demand.jobs_per_hour,
        "clip_s": demand.clip_s,
        "target_load": demand.target_load,
        "costs": _costs_object(plan.costs),
        "currency": plan.currency,
        "fleet": _fleet_object(plan.fleet),
        "per_video_minute": plan.chosen.per_video_minute,
        "p95_goal_s": plan.p95_goal_s,
        "added_machines": plan.chosen.added_machines,
        "resources": [
            {"name": each.name, "load": each.load(demand.jobs_per_s), "jobs_per_hour": each.jobs_per_s * _HOUR_S}
            for each in plan.resources
        ],
        "binding": plan.binding.name,
        "next_binding": plan.next_binding.name if plan.next_binding else None,
        "others": [_option_object(each) for each in plan.others],
        "simulation": _summary_object(plan.simulated),
    }


def _option_object(option: Option) -> dict[str, object]:
    return {
        "name": option_name(option),
        "per_video_minute": option.per_video_minute,
        "p95_s": option.simulated.p95_s if option.simulated else None,
        "added_machines": option.added_machines,
        **_fleet_object(option.fleet),
    }


def _replay_object(replay: Replay) -> dict[str, object]:
    return {
        "at_once": replay.jobs,
        "cores": replay.here.cores,
        "clip_s": replay.costs.clip_s,
        "costs": _costs_object(replay.costs),
        "binding": replay.resources[0].name,
        "next_binding": replay.resources[1].name if len(replay.resources) > 1 else None,
        "simulation": _summary_object(replay.simulated),
    }


def _long_job_lines(job: LongJob) -> Iterator[str]:
    yield f"one job with {job.costs.clip_s:g} s of video, in {job.parts} parts, model {job.costs.model}"
    yield from _cost_lines(job.costs)
    yield ""
    pool = "of each pool" if job.costs.has_gpu_pool else "with one slot"
    yield f"workers {pool}, {job.cores:g} cores each:"
    yield f"{'workers':>8} {'wall':>10} {'of one':>7} {'tracking':>10} {'rendering':>10} {'alone':>8}  bound by"
    first_s = job.times[0].wall_s
    for time in job.times:
        columns = f"{time.track_s:8.1f} s {time.render_s:8.1f} s {time.alone_s:6.1f} s"
        yield f"{time.workers:8d} {time.wall_s:8.1f} s {time.wall_s / first_s:7.2f} {columns}  {time.binding}"


def _long_job_object(job: LongJob) -> dict[str, object]:
    return {
        "clip_s": job.costs.clip_s,
        "segment_s": job.segment_s,
        "parts": job.parts,
        "cores": job.cores,
        "costs": _costs_object(job.costs),
        "times": [{**asdict(time), "binding": time.binding} for time in job.times],
    }


def _costs_object(costs: JobCosts) -> dict[str, object]:
    return {
        "source": costs.source,
        "model": costs.model,
        "cpu_pool_cpu_s": costs.cpu_s("cpu"),
        "gpu_pool_cpu_s": costs.cpu_s("gpu"),
        "gpu_s": costs.gpu_s,
        "control_cpu_s": costs.control_s,
        "alone_s": costs.wall_s(),
    }


def _fleet_object(fleet: Fleet) -> dict[str, object]:
    gpu, control = fleet.gpu, fleet.control
    return {
        "cpu_workers": {"node": fleet.cpu.node.name, "count": fleet.cpu.count, "slots": fleet.cpu.slots},
        "gpu_workers": {"node": gpu.node.name, "count": gpu.count, "slots": gpu.slots} if gpu else None,
        "control_plane": {
            "node": control.node.name if control.node else None,
            "count": control.count,
            "servers": control.servers,
        },
        **totals(fleet),
        "price_per_hour": fleet.price_per_hour,
    }


def _summary_object(summary: Summary) -> dict[str, object]:
    return {
        "jobs": summary.jobs,
        "attempts": summary.attempts,
        "failed": summary.failed,
        "jobs_per_hour": summary.jobs_per_hour,
        "median_s": summary.median_s,
        "p95_s": summary.p95_s,
        "longest_queue": summary.longest_queue,
        "burst": summary.burst,
        "burst_p95_s": summary.burst_p95_s,
        "burst_last_s": summary.burst_last_s,
        "makespan_s": summary.makespan_s,
        "loads": dict(summary.loads),
    }
