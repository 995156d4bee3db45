"""Figures of a service as no machine measured them, for the tests of findings and reports."""

from dataclasses import replace
from datetime import UTC, datetime

from lipsync_cli.bench.figures import (
    SCHEMA,
    CommandRun,
    CpuSeconds,
    Enhancement,
    Figures,
    Hardware,
    Idle,
    Load,
    Machine,
    MemoryPeak,
    Stage,
    Work,
)

PER_S = {1: 0.08, 2: 0.14, 4: 0.15, 8: 0.149, 16: 0.12}
STAGES = (Stage("encode", 4.0, 4.5, 6.0), Stage("track", 1.0, 1.25, 1.5))


def load(at_once: int, per_s: float, cores_busy: float = 2.0, running: int | None = None) -> Load:
    """A load of `at_once` requests; half of the CPU goes to the jobs, a quarter to Prefect's server."""
    wall_s = at_once / per_s
    cpu_s = cores_busy * wall_s
    parts = CpuSeconds(
        server=cpu_s / 4,
        database=cpu_s / 16,
        workers=cpu_s / 16,
        watcher=cpu_s / 32,
        storage=cpu_s / 32,
        caller=cpu_s / 32,
        runs=cpu_s / 2,
    )
    most = at_once if running is None else running
    memory = tuple(
        MemoryPeak(each, 900_000_000 + 120_000_000 * each, 150_000_000 * each, 180_000_000 + 120_000_000 * each)
        for each in range(most + 1)
    )
    times = tuple(wall_s * (index + 1) / at_once for index in range(at_once))
    return Load(at_once, times, (), wall_s, most, Machine(cpu_s, parts, memory), None, STAGES)


FIGURES = Figures(
    measured_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    version="0.1.0",
    form="whole",
    command="lipsync bench scalability -o <b>report</b>",
    service="http://127.0.0.1:4200/api",
    hardware=Hardware("AMD | EPYC", 2, 8_000_000_000, "Linux 6", "3.11", None),
    work=Work(1280, 720, 30.0, 9.33, 9.33, "viseme"),
    baseline=(CommandRun(10.0, 16.0, 280_000_000), CommandRun(10.0, 16.0, 281_000_000)),
    idle=Idle(30.0, CpuSeconds(0.9, 0.3, 0.15, 0.15, 0.3, 0.0, 0.0), 913_000_000),
    levels=tuple(load(at_once, per_s) for at_once, per_s in PER_S.items()),
    cached=(load(1, 0.16), load(4, 0.25)),
    workers=tuple(replace(load(8, 0.15), workers=count) for count in (1, 2, 4, 8)),
    enhancement=Enhancement(None, None, "gfpgan is missing on this machine: lipsync models pull gfpgan"),
    notes=("No GPU is measured: this machine has none",),
    schema=SCHEMA,
)
