"""A capacity plan as one page with charts, which loads nothing from anywhere."""

from lipsync_cli.render.charts import Axis, Bar, Mark, Series, legend, line_chart, stacked_bars
from lipsync_cli.render.page import html_page, section, table, tiles, wide
from lipsync_cli.render.plan_table import binding_text, machines, option_name, totals
from lipsync_service.capacity.costs import JobCosts
from lipsync_service.capacity.planning import CapacityPlan, Option, Replay, Summary

_STYLES = {"cpu": "c0", "gpu": "c2", "control": "c1"}
_GPU_STYLE = "c3"
_PARTS = (("CPU workers", "c0"), ("GPU workers", "c2"), ("control plane", "c1"), ("everything", "c0"))


def render_page(answer: CapacityPlan | Replay) -> str:
    """The page as text."""
    return _plan_page(answer) if isinstance(answer, CapacityPlan) else _replay_page(answer)


def _plan_page(plan: CapacityPlan) -> str:
    demand, summary = plan.demand, plan.simulated
    lead = (
        f"{demand.jobs_per_hour:,g} jobs an hour, each {demand.clip_s:g} s of video, model {plan.costs.model}. "
        f"Costs of a job: {plan.costs.source}."
    )
    whole = totals(plan.fleet)
    figures = [
        (f"{plan.chosen.per_video_minute:.4f}", f"{plan.currency} a minute of video"),
        (f"{plan.fleet.price_per_hour:.2f}", f"{plan.currency} an hour"),
        (f"{whole['cores']:g} + {whole['gpus']:g}", f"cores and GPUs, with {whole['memory_gb']:g} GB of memory"),
        (f"{summary.p95_s:.0f} s", "95 % of the simulated jobs end within"),
    ]
    rows = [(name, words, f"{price:.2f} {plan.currency}") for name, words, price in machines(plan.fleet)]
    sections = [
        tiles(figures),
        section("Machines", table(("Part", "Machines", "An hour"), rows)),
        section("Load of each part", wide(_load_chart(plan)), binding_text(plan.resources)),
        section("Price of a minute of video by type of machine", wide(_price_chart(plan)) + legend(_bought(plan))),
        *_common(plan.costs, summary, plan.p95_goal_s),
    ]
    return html_page("Capacity plan", lead, sections)


def _replay_page(replay: Replay) -> str:
    summary = replay.simulated
    lead = f"{replay.jobs} jobs at once on one machine with {replay.here.cores:g} cores. Costs: {replay.costs.source}."
    figures = [
        (f"{summary.makespan_s:.0f} s", "until all are done"),
        (f"{summary.jobs_per_hour:.0f}", "jobs an hour"),
        (f"{summary.p95_s:.0f} s", "95 % of the jobs end within"),
    ]
    return html_page("Capacity of one machine", lead, [tiles(figures), *_common(replay.costs, summary)])


def _common(costs: JobCosts, summary: Summary, goal_s: float | None = None) -> list[str]:
    note = f"{summary.jobs:,} simulated jobs, of which {summary.burst:,} come at once."
    return [
        section("Time from arrival to end", wide(_latency_chart(summary, goal_s)), note),
        section("Work of one job by step", wide(_step_chart(costs)) + legend(_step_legend(costs))),
    ]


def _load_chart(plan: CapacityPlan) -> str:
    demand = plan.demand
    bars = []
    for resource in plan.resources:
        percent = 100 * resource.load(demand.jobs_per_s)
        style = "c1" if resource == plan.binding else "c0"
        bars.append(Bar(resource.name, ((resource.name, percent, style),), f"{percent:.0f} %"))
    marks = [Mark("target", 100 * demand.target_load), Mark("full", 100.0)]
    return stacked_bars("Load of each part of the service", Axis("load", "%"), bars, marks)


def _price_chart(plan: CapacityPlan) -> str:
    bars = [
        Bar(option_name(option), _prices(option, plan), f"{option.per_video_minute:.4f}")
        for option in (plan.chosen, *plan.others)
    ]
    unit = f"thousandths of {plan.currency} a minute of video"
    return stacked_bars("Price of a minute of video", Axis("price", unit), bars)


def _prices(option: Option, plan: CapacityPlan) -> tuple[tuple[str, float, str], ...]:
    minutes, styles = plan.demand.video_minutes_per_hour, dict(_PARTS)
    return tuple((name, 1000 * price / minutes, styles[name]) for name, _, price in machines(option.fleet))


def _bought(plan: CapacityPlan) -> list[tuple[str, str]]:
    """The parts that the chart of prices shows, with their styles."""
    shown = {name for option in (plan.chosen, *plan.others) for name, _, _ in machines(option.fleet)}
    return [(name, style) for name, style in _PARTS if name in shown]


def _latency_chart(summary: Summary, goal_s: float | None) -> str:
    line = Series("simulated", summary.latency_percentiles, is_labelled=False)
    x, y = Axis("share of jobs that have ended by then", "%"), Axis("time from arrival to end", "s")
    marks = [] if goal_s is None else [Mark("goal for 95 %", goal_s)]
    return line_chart("Time from arrival to end", x, y, [line], marks, is_categorical=False)


def _step_chart(costs: JobCosts) -> str:
    bars = []
    for step in costs.steps:
        cpu = ("CPU", step.cpu_s, _STYLES[step.pool])
        parts = (cpu, ("control plane", step.control_s, _STYLES["control"]), ("GPU", step.gpu_s, _GPU_STYLE))
        shown = tuple(part for part in parts if part[1] > 0)
        if shown:
            gpu = f" + {step.gpu_s:.2f} of the GPU" if step.gpu_s else ""
            bars.append(Bar(step.name, shown, f"{step.cpu_s + step.control_s:.2f}{gpu}"))
    unit = "CPU-seconds, and seconds of an RTX 3090" if costs.gpu_s else "CPU-seconds"
    return stacked_bars("Work of one job by step", Axis("work", unit), bars)


def _step_legend(costs: JobCosts) -> list[tuple[str, str]]:
    pools = dict.fromkeys(step.pool for step in costs.steps)
    names = [(f"{pool.upper()} pool", _STYLES[pool]) for pool in pools]
    names += [("control plane", _STYLES["control"])] if costs.control_s else []
    return [*names, ("GPU", _GPU_STYLE)] if costs.gpu_s else names
