"""Findings, computed from the figures: what binds, where throughput stops growing, what one more request costs."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lipsync_cli.bench import old_system
from lipsync_cli.bench.figures import Figures, Load

#: A level's throughput counts as the best one from this share on.
NEARLY = 0.95
#: Other programs disturb a load from so many cores on. On a quiet machine the kernel and the system's own services take
#: some .01 (`benchmarks/results/scalability`); a tenth of a core is 5 % of two, as much as `NEARLY` tells apart.
DISTURBING_CORES = 0.1
#: From this spread of `lipsync run` on, the machine's speed has changed by as much as the limits tell apart.
UNSTEADY = 0.15
_FULL = 0.9  # from this share on, a resource binds
_AS_LONG = 0.9  # from this share of its length on, a request is like one of the old system
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure beside its limit."""

    text: str
    measured: float
    limit: float
    is_upper: bool  # the limit is the most that is wanted, else the least
    unit: str = ""
    is_judged: bool = True  # other programs have not disturbed the measurement of the figure

    @property
    def is_met(self) -> bool:
        """The figure keeps the limit; only said of one that is judged."""
        return self.measured <= self.limit if self.is_upper else self.measured >= self.limit


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The resource that keeps a load from going faster, with its share in use."""

    name: str
    share: float  # 0..1


def best_level(levels: Sequence[Load]) -> Load:
    """The level with the most requests in a second."""
    return max(levels, key=lambda level: level.per_s)


def pace(figures: Figures, level: Load) -> float:
    """The throughput of a level, with that of `lipsync run` in a loop as 1.

    The loop is that just before and after the level, since a machine's speed changes while it is measured.
    """
    runs = level.beside or figures.baseline
    return level.per_s * statistics.fmean(run.wall_s for run in runs)


def plateau(figures: Figures) -> Load:
    """The first level from which more requests at once finish hardly more in a second."""
    best = max(pace(figures, level) for level in figures.levels)
    return next(level for level in figures.levels if pace(figures, level) >= NEARLY * best)


def bottleneck(figures: Figures, level: Load) -> Bottleneck | None:
    """The resource that binds at `level`; None where no measured resource is full."""
    shares = []
    if level.machine is not None:
        shares.append(("processor", level.machine.cpu_s / (level.wall_s * figures.hardware.cores)))
        used = max((peak.stack_bytes for peak in level.machine.memory), default=0)
        shares.append(("memory", used / figures.hardware.memory_bytes))
    if level.gpu is not None and level.gpu.mean_utilisation is not None:
        shares.append(("GPU", level.gpu.mean_utilisation))
    full = [Bottleneck(name, share) for name, share in shares if share >= _FULL]
    if full:
        return max(full, key=lambda each: each.share)
    if level.most_running < min(level.at_once, level.requests):
        return Bottleneck("slots of the workers", 1.0)
    return None


def bytes_per_running_request(levels: Sequence[Load]) -> float | None:
    """PSS of the launcher and its runs for each request that runs beside the first; None where no two ran at once.

    The other parts do not count: the servers' caches grow from load to load, whatever runs (`grown_bytes`).
    """
    peaks: dict[int, int] = {}
    for level in levels:
        for peak in level.machine.memory if level.machine else ():
            peaks[peak.running] = max(peaks.get(peak.running, 0), peak.jobs_bytes)
    running = sorted(each for each in peaks if each >= 1)
    if len(running) < 2:
        return None
    first, last = running[0], running[-1]
    return (peaks[last] - peaks[first]) / (last - first)


def grown_bytes(levels: Sequence[Load]) -> float | None:
    """By how much the parts other than the launcher and its runs grew from the first load to the last."""
    others = [
        max(peak.stack_bytes - peak.jobs_bytes for peak in level.machine.memory)
        for level in levels
        if level.machine and level.machine.memory
    ]
    return others[-1] - others[0] if others else None


def ratios(figures: Figures) -> tuple[Ratio, ...]:
    """The figures that have limits, in the order in which the report lists them."""
    return tuple(_ratios(figures))


def findings(figures: Figures) -> tuple[str, ...]:
    """Sentences about the measurement, the most important first."""
    cautions = [*_noise(figures), *_unsteadiness(figures)]
    return (*cautions, _completion(figures), *_throughput(figures), *_cost(figures), *_workers(figures))


def is_disturbed(load: Load) -> bool:
    """Whether other programs took more than `DISTURBING_CORES`; where that was not seen, they did not."""
    return (load.other_cores or 0.0) > DISTURBING_CORES


def is_reference_disturbed(figures: Figures) -> bool:
    """The same of `lipsync run`."""
    return (figures.run_other_cores or 0.0) > DISTURBING_CORES


def _ratios(figures: Figures) -> Iterator[Ratio]:
    yield from _throughput_ratios(figures)
    yield from _cost_ratios(figures)


def _throughput_ratios(figures: Figures) -> Iterator[Ratio]:
    levels, best = figures.levels, max(figures.levels, key=lambda level: pace(figures, level))
    is_best_quiet, is_run_quiet = not is_disturbed(best), not is_reference_disturbed(figures)
    for level in levels:
        if level.at_once > 1:
            text, is_quiet = f"throughput at {level.at_once} against the best", not is_disturbed(level)
            yield Ratio(
                text, pace(figures, level) / pace(figures, best), NEARLY, False, is_judged=is_quiet and is_best_quiet
            )
    text = "best throughput against lipsync run in a loop"
    yield Ratio(text, pace(figures, best), 1.25, False, is_judged=is_best_quiet and is_run_quiet)


def _cost_ratios(figures: Figures) -> Iterator[Ratio]:
    levels, is_run_quiet = figures.levels, not is_reference_disturbed(figures)
    for level in levels:
        machine_s = level.machine_cpu_s_per_request
        if machine_s is not None:
            text = f"CPU of the machine for a request at {level.at_once}, against lipsync run"
            is_judged = is_run_quiet and not is_disturbed(level)
            run_s = statistics.fmean(run.cpu_s for run in level.beside or figures.baseline)
            yield Ratio(text, machine_s / run_s, 1.25, True, is_judged=is_judged)
    alone = next((level for level in levels if level.at_once == 1), None)
    if alone is not None:
        text = "one request through the idle service, longer than lipsync run by"
        is_judged = is_run_quiet and not is_disturbed(alone)
        yield Ratio(text, alone.median_s - figures.run_s, 3.0, True, "s", is_judged)
    each_bytes = bytes_per_running_request(levels)
    if each_bytes is not None:
        yield Ratio("memory (PSS) of one more running request", each_bytes / _MB, 150.0, True, "MB")
    for level in levels:
        if level.machine is not None:
            parts, is_quiet = level.machine.parts, not is_disturbed(level)
            text = f"CPU of Prefect's server and PostgreSQL for a request at {level.at_once}"
            yield Ratio(text, (parts.server + parts.database) / level.requests, 2.0, True, "s", is_quiet)
    if figures.idle is not None:
        yield Ratio("the idle service, share of one core", figures.idle.cores, 0.05, True)


def _completion(figures: Figures) -> str:
    loads = (*figures.levels, *figures.cached, *figures.workers)
    failures = [code for load in loads for code in load.failures]
    total = sum(load.requests for load in loads)
    if not failures:
        return f"All {total} requests completed."
    return f"{len(failures)} of {total} requests failed: {', '.join(sorted(set(failures)))}."


def _throughput(figures: Figures) -> Iterator[str]:
    levels = figures.levels
    best, first = best_level(levels), plateau(figures)
    paces = [pace(figures, level) for level in levels]
    loop = "lipsync run in a loop"
    if all(level.beside for level in levels):
        loop += ", just before and after"
    yield (
        f"Throughput stops growing at {first.at_once} requests at once, with {first.per_s:.3f} requests/s; the best is "
        f"{best.per_s:.3f}. Beside {loop}, the levels did {min(paces):.2f} to {max(paces):.2f} times "
        "as many."
    )
    binding = bottleneck(figures, best)
    if binding is None:
        yield "Nothing that was measured is full at that level: requests wait for each other, or for something unseen."
    elif binding.name == "processor" and best.machine is not None:
        parts, cpu_s = best.machine.parts, best.machine.cpu_s
        others = f", {best.machine.other_cpu_s / cpu_s:.0%} with other programs" if is_disturbed(best) else ""
        yield (
            f"The processor binds: {binding.share:.0%} of {figures.hardware.cores} cores were busy, "
            f"{parts.runs / cpu_s:.0%} of that with the jobs and {parts.control / cpu_s:.0%} with the control plane"
            f"{others}."
        )
    else:
        yield f"What binds is the {binding.name}: {binding.share:.0%} in use."
    yield _beside_the_old_system(figures, best)


def _beside_the_old_system(figures: Figures, best: Load) -> str:
    said = (
        f"The old system did {old_system.PER_S:.2f} requests/s at any concurrency, on {old_system.MACHINE}: "
        f"{best.per_s / old_system.PER_S:.1f} times as many are done here, on {figures.hardware.cores} cores"
    )
    if figures.work.sound_s >= _AS_LONG * old_system.SOUND_S:
        return f"{said}."
    return f"{said}, but of {figures.work.sound_s:.1f} s each and not of {old_system.SOUND_S} s."


def _cost(figures: Figures) -> Iterator[str]:
    levels = figures.levels
    best, each_bytes, grown = best_level(levels), bytes_per_running_request(levels), grown_bytes(levels)
    if best.machine is not None:
        parts, count = best.machine.parts, best.requests
        is_shared = is_disturbed(best)  # then the machine's account is not the service's alone
        cpu_s, owner = (parts.total, "service") if is_shared else (best.machine.cpu_s, "machine")
        yield (
            f"One more request costs {cpu_s / count:.1f} CPU seconds of the {owner} at {best.at_once} at "
            f"once ({parts.runs / count:.1f} in the job, {parts.control / count:.1f} in the control plane; "
            f"lipsync run: {figures.run_cpu_s:.1f}), and {1 / best.per_s:.1f} s of everybody's waiting."
        )
    if each_bytes is not None:
        yield (
            f"One more request that runs takes {each_bytes / _MB:.0f} MB (PSS); in the old system "
            f"{old_system.MEMORY_BYTES / _MB:.0f} MB. A request that waits takes none of it."
        )
    if grown is not None and grown > 0:
        count = sum(level.requests for level in levels)
        yield f"The other parts of the service grew by {grown / _MB:.0f} MB in {count} requests, whatever ran."


def _workers(figures: Figures) -> Iterator[str]:
    loads = figures.workers
    if len(loads) < 2:
        return
    first, last = loads[0], loads[-1]
    yield (
        f"{last.workers} workers on one machine do {last.per_s / first.per_s:.2f} times the throughput of "
        f"{first.workers} ({last.per_s:.3f} against {first.per_s:.3f} requests/s); the old system's 8 workers did "
        f"{old_system.PER_S_OF_WORKERS[8] / old_system.PER_S:.1f} times that of one."
    )
    if (
        first.machine
        and last.machine
        and first.machine.memory
        and last.machine.memory
        and first.workers
        and last.workers
    ):
        more = max(peak.stack_bytes for peak in last.machine.memory)
        more -= max(peak.stack_bytes for peak in first.machine.memory)
        each_mb = more / (last.workers - first.workers) / _MB
        yield f"A further worker takes {each_mb:.0f} MB at the peak, the runs that it starts included."


def _noise(figures: Figures) -> Iterator[str]:
    """Say where other programs have disturbed the measurement, and what follows from it."""
    loads = [(f"at {level.at_once} at once", level.other_cores) for level in figures.levels]
    loads.append(("beside lipsync run", figures.run_other_cores))
    disturbed = [f"{cores:.2f} {when}" for when, cores in loads if cores is not None and cores > DISTURBING_CORES]
    if disturbed:
        yield (
            f"Not a quiet machine: other programs and the kernel kept more than {DISTURBING_CORES:g} of a core busy "
            f"({', '.join(disturbed)}). Limits that rest on these figures are not judged."
        )


def _unsteadiness(figures: Figures) -> Iterator[str]:
    """Say where the reference has changed while the service was measured."""
    if figures.run_spread > UNSTEADY:
        walls_s = [run.wall_s for run in figures.baseline]
        yield (
            f"The machine's speed changed: lipsync run took {min(walls_s):.1f} to {max(walls_s):.1f} s, "
            f"{figures.run_spread:.0%} of its median of {figures.run_s:.1f} s. Figures against it are no more exact."
        )
