"""The figures of a measurement: all that the reports and the findings are made from, as values and as JSON."""

import json
import math
import statistics
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from lipsync_core.errors import InputError, InputMissingError

SCHEMA = "lipsync.scalability/2"


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine that measured."""

    processor: str
    cores: int  # that this process may use
    memory_bytes: int
    system: str
    python: str
    gpu: str | None  # None: no GPU that NVML sees


@dataclass(frozen=True, slots=True)
class Work:
    """The job that every request asks for."""

    width_px: int
    height_px: int
    frames_per_s: float
    video_s: float
    sound_s: float
    model: str


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """CPU seconds by part of a local service."""

    server: float  # Prefect's
    database: float  # PostgreSQL
    workers: float  # with the launcher itself and the commands that wait for forked runs
    watcher: float
    storage: float  # S3
    caller: float  # the command that submits and waits, without its own measuring
    runs: float  # the forked runs: the jobs themselves

    @property
    def control(self) -> float:
        """Of the control plane: all parts but the jobs and the storage."""
        return self.server + self.database + self.workers + self.watcher + self.caller

    @property
    def total(self) -> float:
        """Of all parts."""
        return self.control + self.storage + self.runs

    def since(self, before: "CpuSeconds") -> "CpuSeconds":
        """What was used after `before`."""
        return CpuSeconds(*(getattr(self, each.name) - getattr(before, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class MemoryPeak:
    """The most memory (PSS) that was seen while `running` requests ran at once."""

    running: int
    stack_bytes: int  # all parts and all runs
    runs_bytes: int  # the forked runs alone
    jobs_bytes: int  # the forked runs and their launcher, of whose pages each run takes over a share


@dataclass(frozen=True, slots=True)
class GpuPeak:
    """The GPU during a load."""

    mean_utilisation: float | None  # 0..1
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine saw during a load; only where the service runs on the machine that measures."""

    cpu_s: float  # of all programs, this command's measuring left out
    parts: CpuSeconds
    memory: tuple[MemoryPeak, ...]  # ascending by running requests

    @property
    def other_cpu_s(self) -> float:
        """CPU seconds of programs that are no part of the service, and of the kernel."""
        return max(0.0, self.cpu_s - self.parts.total)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the requests of a load, from the ledger."""

    name: str
    median_s: float
    wall_s: float  # of one request, mean
    cpu_s: float  # of one request, mean


@dataclass(frozen=True, slots=True)
class CommandRun:
    """One `lipsync run` by itself."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    other_cpu_s: float | None = None  # of all other programs and the kernel meanwhile; None: not measured


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that were sent so that `at_once` of them were always under way."""

    at_once: int
    request_s: tuple[float, ...]  # of each completed request: from its submission until its caller knew of its end
    failures: tuple[str, ...]  # error codes of the others
    wall_s: float
    most_running: int  # requests that ran at the same moment; the others waited
    machine: Machine | None
    gpu: GpuPeak | None
    stages: tuple[Stage, ...]  # empty: the ledger cannot be read
    workers: int | None = None  # of each pool, where the measurement set them
    beside: tuple[CommandRun, ...] = ()  # `lipsync run` just before and after these requests

    @property
    def requests(self) -> int:
        """All of them."""
        return len(self.request_s) + len(self.failures)

    @property
    def median_s(self) -> float:
        """Of a request's time; nan where none completed."""
        return statistics.median(self.request_s) if self.request_s else float("nan")

    @property
    def p95_s(self) -> float:
        """The 95th percentile of a request's time, between the two nearest; nan where none completed."""
        if len(self.request_s) < 2:
            return self.median_s
        return statistics.quantiles(self.request_s, n=20, method="inclusive")[-1]

    @property
    def per_s(self) -> float:
        """Completed requests in a second."""
        return len(self.request_s) / self.wall_s

    @property
    def other_cores(self) -> float | None:
        """The cores that other programs and the kernel kept busy, on average; None where that was not seen."""
        return None if self.machine is None else self.machine.other_cpu_s / self.wall_s

    @property
    def machine_cpu_s_per_request(self) -> float | None:
        """CPU seconds of the whole machine for one request."""
        return None if self.machine is None else self.machine.cpu_s / self.requests


@dataclass(frozen=True, slots=True)
class Idle:
    """The service while nothing runs; only where it runs on this machine."""

    wall_s: float
    parts: CpuSeconds
    stack_bytes: int  # PSS

    @property
    def cores(self) -> float:
        """The mean number of cores that all parts together keep busy."""
        return (self.parts.total - self.parts.caller) / self.wall_s


@dataclass(frozen=True, slots=True)
class Enhancement:
    """One job with the face restored; the reason where it was not measured."""

    request_s: float | None
    command: CommandRun | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement."""

    measured_at: datetime
    version: str  # of this product
    form: Literal["quick", "whole"]
    command: str
    service: str  # its address
    hardware: Hardware
    work: Work
    baseline: tuple[CommandRun, ...]  # `lipsync run`, one after another
    idle: Idle | None
    levels: tuple[Load, ...]  # ascending by `at_once`; every input differs
    cached: tuple[Load, ...]  # one video again and again
    workers: tuple[Load, ...]  # on a service of the command's own, ascending by `workers`
    enhancement: Enhancement
    notes: tuple[str, ...]  # what could not be measured, and why
    schema: str  # `SCHEMA`; without a default, so that a file must name its own

    @property
    def run_s(self) -> float:
        """The median time of `lipsync run`."""
        return statistics.median(run.wall_s for run in self.baseline)

    @property
    def run_cpu_s(self) -> float:
        """The median CPU seconds of `lipsync run`."""
        return statistics.median(run.cpu_s for run in self.baseline)

    @property
    def run_other_cores(self) -> float | None:
        """The cores that other programs kept busy beside `lipsync run`; None where that was not measured."""
        seconds = [run.other_cpu_s for run in self.baseline if run.other_cpu_s is not None]
        wall_s = sum(run.wall_s for run in self.baseline if run.other_cpu_s is not None)
        return sum(seconds) / wall_s if seconds else None

    @property
    def run_spread(self) -> float:
        """How far the times of `lipsync run` lie apart: from the shortest to the longest, over the median."""
        walls_s = [run.wall_s for run in self.baseline]
        return (max(walls_s) - min(walls_s)) / self.run_s

    @property
    def run_per_s(self) -> float:
        """The runs in a second of `lipsync run` in a loop."""
        return len(self.baseline) / sum(run.wall_s for run in self.baseline)


_JSON = TypeAdapter(Figures)


def to_json(figures: Figures) -> str:
    """The figures as one JSON object; `from_json` reads it."""
    return _JSON.dump_json(figures, indent=2).decode()


def from_file(path: Path) -> Figures:
    """The figures that `to_json` wrote to `path`.

    Raises:
        InputMissingError, InputError: there is no such file, or it holds no figures of this version.
    """
    remedy = "name a figures.json that lipsync bench scalability wrote"
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise InputMissingError(
            f"{path} cannot be read: {exc.strerror}", "name the figures.json of a measurement"
        ) from exc
    try:
        json.loads(text, parse_float=_finite, parse_constant=_finite)  # pydantic takes NaN and 1e999
        figures = _JSON.validate_json(text)
    except (ValueError, RecursionError) as exc:  # pydantic's error is one
        raise InputError(f"{path} holds no figures of a measurement", remedy) from exc
    if figures.schema != SCHEMA:
        raise InputError(f"{path} holds figures of the form {figures.schema!r}", f"this version reads {SCHEMA}")
    if not _can_be_measured(figures):
        raise InputError(f"{path} holds figures that no measurement gives", remedy)
    return figures


def _finite(text: str) -> float:
    """The number of a JSON text; raises ValueError for one that no measurement gives."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no figure")
    return number


def _can_be_measured(figures: Figures) -> bool:
    """Whether nothing is missing, and all is positive, that others are divided by or compared with."""
    loads = (*figures.levels, *figures.cached, *figures.workers)
    positive: list[float] = [figures.hardware.cores, figures.hardware.memory_bytes]
    for load in loads:
        positive += [load.at_once, load.wall_s, *load.request_s]
    if figures.idle:
        positive.append(figures.idle.wall_s)
    runs = [*figures.baseline, *(run for load in loads for run in load.beside)]
    positive += [each for run in runs for each in (run.wall_s, run.cpu_s)]
    others = [run.other_cpu_s for run in runs if run.other_cpu_s is not None]
    at_once = [load.at_once for load in figures.levels]
    is_whole = bool(figures.baseline and figures.levels) and all(load.request_s for load in loads)
    is_sane = all(0 < number < math.inf for number in positive) and all(0 <= number < math.inf for number in others)
    return is_whole and at_once == sorted(set(at_once)) and is_sane
