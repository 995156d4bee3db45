"""The tables of the scalability report, as text that both its forms show."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lipsync_cli.bench import old_system
from lipsync_cli.bench.figures import CpuSeconds, Figures, Load
from lipsync_cli.bench.findings import pace, ratios

NONE = "–"
_MB, _GB = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Table:
    """One table with its heading and a line of explanation."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(figures: Figures) -> tuple[Table, ...]:
    """All tables in the order of the report; those without rows are left out."""
    made = (
        _limits(figures),
        _hardware(figures),
        _enhancement(figures),
        _stages(figures),
        _resources(figures),
        _reference(figures),
        _concurrency(
            "Requests at once", figures, figures.levels, "Every input differs, so no result comes from a cache."
        ),
        _cpu(figures),
        _concurrency("Requests at once, one video again and again", figures, figures.cached, _CACHED),
        _workers(figures),
    )
    return tuple(table for table in made if table.rows)


_CACHED = "The face track and the edits of the video are kept from its first request: this is the best case."


def _limits(figures: Figures) -> Table:
    rows = tuple(
        (
            ratio.text,
            f"{ratio.measured:.2f} {ratio.unit}".strip(),
            f"{'at most' if ratio.is_upper else 'at least'} {ratio.limit:g} {ratio.unit}".strip(),
            ("yes" if ratio.is_met else "no") if ratio.is_judged else "not judged",
        )
        for ratio in ratios(figures)
    )
    return Table("Against the limits", ("figure", "measured", "limit", "kept"), rows)


def _reference(figures: Figures) -> Table:
    measures = (
        ("wall s", [run.wall_s for run in figures.baseline]),
        ("CPU s", [run.cpu_s for run in figures.baseline]),
    )
    rows = tuple(
        (name, f"{min(each):.2f}", f"{statistics.median(each):.2f}", f"{max(each):.2f}") for name, each in measures
    )
    headings = (f"{len(figures.baseline)} runs", "min", "median", "max")
    note = "Alone on the machine, between the levels: how far apart these lie says how steady the machine was."
    return Table("The reference: lipsync run", headings, rows, note)


def _hardware(figures: Figures) -> Table:
    machine, work = figures.hardware, figures.work
    rows = (
        ("processor", machine.processor, ""),
        ("cores", str(machine.cores), "64 threads"),
        ("memory", f"{machine.memory_bytes / _GB:.1f} GB", NONE),
        ("GPU", machine.gpu or "none", "RTX 3090"),
        ("system", f"{machine.system}, Python {machine.python}", NONE),
        (
            "video",
            f"{work.width_px}x{work.height_px}, {work.frames_per_s:g} frames/s, {work.video_s:.1f} s",
            _OLD_VIDEO,
        ),
        ("speech", f"{work.sound_s:.1f} s", "9.3 s (280 output frames)"),
        ("model", work.model, "Wav2Lip"),
    )
    return Table("Hardware and work", ("", "here", "old system"), rows)


_OLD_VIDEO = "1280x720, 30 frames/s, 5.1 s"


def _enhancement(figures: Figures) -> Table:
    alone = next((level for level in figures.levels if level.at_once == 1), None)
    enhanced = figures.enhancement
    plain = (
        "without",
        f"{alone.median_s:.1f} s" if alone else NONE,
        f"{figures.run_s:.1f} s",
        f"{old_system.REQUEST_S} s",
    )
    restored = (
        "with GFPGAN",
        f"{enhanced.request_s:.1f} s" if enhanced.request_s is not None else "not measured",
        f"{enhanced.command.wall_s:.1f} s" if enhanced.command is not None else "not measured",
        f"{old_system.ENHANCED_REQUEST_S:g} s",
    )
    headings = ("face restoration", "a request alone", "lipsync run", "old system")
    note = f"Not measured with GFPGAN: {enhanced.reason}." if enhanced.reason else ""
    return Table("With and without face restoration", headings, (plain, restored), note)


def _stages(figures: Figures) -> Table:
    """Seconds of one request by stage: the first level, the last, and the old system's stages in rows of their own."""
    known = [level for level in figures.levels if level.stages]
    if not known:
        return Table("Where the time of a request goes", (), ())
    first, last = known[0], known[-1]
    busy = {stage.name: stage for stage in last.stages}
    rows = [
        (
            stage.name,
            f"{stage.wall_s:.2f}",
            f"{stage.cpu_s:.2f}",
            f"{busy[stage.name].wall_s:.2f}" if stage.name in busy else NONE,
            f"{busy[stage.name].cpu_s:.2f}" if stage.name in busy else NONE,
            NONE,
        )
        for stage in first.stages
    ]
    rows += [(f"old system: {name}", NONE, NONE, NONE, NONE, f"{seconds:.2f}") for name, seconds in old_system.STAGES_S]
    headings = (
        "stage",
        f"wall s, {first.at_once} at once",
        f"CPU s, {first.at_once} at once",
        f"wall s, {last.at_once} at once",
        f"CPU s, {last.at_once} at once",
        "old system, s",
    )
    note = "From the ledger, means of one request. Blend and encode run side by side; waiting for a slot is no stage."
    return Table("Where the time of a request goes", headings, tuple(rows), note)


def _resources(figures: Figures) -> Table:
    best = max(figures.levels, key=lambda level: level.per_s)
    headings = ("", f"service, {best.at_once} at once", "lipsync run", "old system")
    peak_bytes = max(run.peak_rss_bytes for run in figures.baseline)
    rows: list[tuple[str, ...]] = []
    if best.machine is not None:
        jobs_s = best.machine.parts.runs / best.requests
        rows.append(("CPU seconds of a request", f"{jobs_s:.1f}", f"{figures.run_cpu_s:.1f}", NONE))
        rows.append(
            ("memory of a running request", f"{_run_bytes(best) / _MB:.0f} MB", f"{peak_bytes / _MB:.0f} MB", "840 MB")
        )
    gpu = best.gpu
    if gpu is not None:
        share = NONE if gpu.mean_utilisation is None else f"{gpu.mean_utilisation:.0%}"
        memory = NONE if gpu.peak_memory_bytes is None else f"{gpu.peak_memory_bytes / _GB:.1f} GB"
        rows += [("GPU in use", share, NONE, "< 5 %"), ("GPU memory", memory, NONE, "1.7 GB for each worker")]
    else:
        rows.append(("GPU", "none", "none", "< 5 %, 1.7 GB for each worker"))
    note = "Memory: of the service, the PSS of the forked runs for each request that ran; of lipsync run, its RSS."
    return Table("CPU, memory and GPU of a request", headings, tuple(rows), note)


def _run_bytes(level: Load) -> float:
    peaks = [peak for peak in level.machine.memory if peak.running] if level.machine else []
    return max((peak.runs_bytes / peak.running for peak in peaks if peak.running == peaks[-1].running), default=0.0)


def _concurrency(title: str, figures: Figures, levels: Sequence[Load], note: str) -> Table:
    times = ("at once", "requests", "median", "p95", "wall", "requests/s", "ran at once", "memory peak", "failed")
    headings = (*times, "loop = 1")
    rows: list[tuple[str, ...]] = [
        (*_load_row(str(level.at_once), level), f"{pace(figures, level):.2f}" if level.beside else NONE)
        for level in levels
    ]
    if rows:
        loop = (NONE, f"{figures.run_per_s:.3f}", "1", NONE, "", "1")
        wall_s = sum(run.wall_s for run in figures.baseline)
        rows.append(
            (
                "lipsync run in a loop",
                str(len(figures.baseline)),
                f"{figures.run_s:.1f} s",
                NONE,
                f"{wall_s:.0f} s",
                *loop[1:],
            )
        )
        old = (f"{old_system.REQUEST_S} s", NONE, NONE, f"{old_system.PER_S:.3f}", "1", "840 MB each", "", NONE)
        rows.append(("old system, any", NONE, *old))
    return Table(title, headings, tuple(rows), note)


def _load_row(name: str, level: Load) -> tuple[str, ...]:
    peak = max((each.stack_bytes for each in level.machine.memory), default=0) if level.machine else 0
    return (
        name,
        str(level.requests),
        f"{level.median_s:.1f} s",
        f"{level.p95_s:.1f} s",
        f"{level.wall_s:.0f} s",
        f"{level.per_s:.3f}",
        str(level.most_running),
        f"{peak / _MB:.0f} MB" if peak else NONE,
        ", ".join(level.failures),
    )


def _cpu(figures: Figures) -> Table:
    rows = []
    for level in figures.levels:
        if level.machine is not None:
            of_all = (level.machine.cpu_s, level.machine.parts.runs, level.machine.parts.control)
            seconds = (*of_all, *_by_part(level.machine.parts), level.machine.other_cpu_s)
            rows.append((str(level.at_once), *(f"{each / level.requests:.2f}" for each in seconds)))
    if rows:
        rows.append(("lipsync run", f"{figures.run_cpu_s:.2f}", f"{figures.run_cpu_s:.2f}", *[NONE] * 8))
    idle = figures.idle
    if idle is not None:
        seconds = (idle.parts.control, *_by_part(idle.parts))
        shares = (f"{each / idle.wall_s:.3f}" for each in seconds)
        rows.append(("idle, in a second", f"{idle.cores:.3f}", NONE, *shares, NONE))
    headings = ("at once", "machine", "jobs", "control plane", "server", "database", "workers", "watcher", "caller")
    note = (
        "CPU seconds for one request. Server to caller are parts of the control plane; others: programs and the kernel."
    )
    return Table("CPU of the jobs and of the control plane", (*headings, "S3", "others"), tuple(rows), note)


def _by_part(parts: CpuSeconds) -> tuple[float, ...]:
    return (parts.server, parts.database, parts.workers, parts.watcher, parts.caller, parts.storage)


def _workers(figures: Figures) -> Table:
    headings = (
        "workers",
        "requests",
        "median",
        "p95",
        "wall",
        "requests/s",
        "ran at once",
        "memory peak",
        "GPU memory",
    )
    rows = []
    for load in figures.workers:
        row = _load_row(str(load.workers), load)
        gpu = load.gpu.peak_memory_bytes if load.gpu else None
        rows.append((*row[:-1], f"{gpu / _GB:.1f} GB" if gpu is not None else "no GPU"))
    if rows:
        per_s = {1: old_system.PER_S, **old_system.PER_S_OF_WORKERS}
        rows += [
            (f"old system, {count}", NONE, NONE, NONE, NONE, f"{each:.3f}", NONE, NONE, f"{1.7 * count:.1f} GB")
            for count, each in per_s.items()
        ]
    note = "On a service that the command started for this table; so many workers for each pool in use."
    return Table("Workers", headings, tuple(rows), note)
