"""A job's costs from the ledger: stages as steps, the gaps between them as steps of their own.

The CPU-seconds of a step are the mean over the jobs. Its time alone on a machine is the tenth percentile of its wall
times, because other work and queues only lengthen those. What a flow run costs beside its stages (it starts, imports,
reports) is in the job's row where the job is one run. What the ledger does not hold comes as `Overhead`. Both are
shared among the gaps by their length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, func, select

from lipsync_service.capacity.costs import (
    FROM_GPU,
    MAX_THREADS,
    TO_GPU,
    Footprint,
    JobCosts,
    Pool,
    Step,
    reference_costs,
)
from lipsync_service.ledger.database import reading_known
from lipsync_service.ledger.rows import JobState
from lipsync_service.ledger.tables import Job, StageTiming
from lipsync_service.names import CPU_POOL, GPU_POOL

MIN_JOBS = 3
_MAX_JOBS = 1000
_ALONE_PERCENT = 10
_GPU_PROVIDERS = frozenset(("cuda", "tensorrt"))
#: Stages that overlap, and the step that they are together.
_TOGETHER = {"fetch video": "fetch", "fetch audio": "fetch", "blend": "render", "encode": "render"}
#: Stages that take the same time for every clip, or nearly: `check` looks at forty frames at most, and hears eighteen
#: seconds; `sign` reads the result once.
_FIXED = frozenset(("load", "plan", "claim", "check", "sign"))
#: The steps that are gaps between stages: a run starts, hands over, ends.
_START, _BETWEEN, _END = "start", "between stages", "end"
GAPS = frozenset((_START, TO_GPU, FROM_GPU, _BETWEEN, _END))


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a job takes beside its stages, as measured on a whole machine."""

    runs_cpu_s: float  # of its flow runs; the ledger's own figure goes before this one
    control_cpu_s: float  # of the control plane


def reference_overhead(model: str) -> tuple[Overhead, Footprint]:
    """What the bundled reference says of runs, control plane and memory, which the ledger does not hold.

    Raises:
        OptionError: there is no reference for this model.
    """
    costs = reference_costs(model)
    runs_cpu_s = sum(step.cpu_s for step in costs.steps if step.name in GAPS)
    return Overhead(runs_cpu_s, costs.control_s), costs.footprint


@dataclass(frozen=True, slots=True)
class _Span:
    """One step of one job, in seconds since the job could have started."""

    name: str
    pool: Pool
    start_s: float
    end_s: float
    cpu_s: float
    gpu_s: float
    is_gap: bool = False

    @property
    def wall_s(self) -> float:
        return max(0.0, self.end_s - self.start_s)


@dataclass(frozen=True, slots=True)
class _MeasuredJob:
    clip_s: float
    cpu_s: float | None  # of its own run, as a whole; an earlier release did not measure it
    spans: tuple[_Span, ...]

    @property
    def beside_stages_s(self) -> float | None:
        """CPU-seconds beside the stages; None where the row does not hold them: a run on the GPU pool is not in it."""
        if self.cpu_s is None or any(span.pool == "gpu" for span in self.spans):
            return None
        return max(0.0, self.cpu_s - sum(span.cpu_s for span in self.spans))


def ledger_costs(
    database_url: str, model: str, overhead: Overhead, footprint: Footprint, since: datetime | None = None
) -> JobCosts | None:
    """The costs of the model's newest completed jobs in the ledger; None where fewer than `MIN_JOBS` are complete.

    Jobs that took a result of an earlier run (a track, a movie) are left out: the next job has another video.

    Raises:
        LedgerUnavailableError: the database is down or has no ledger.
        OptionError: the address is not one of a database that the ledger knows.
    """
    with reading_known(database_url) as connection:
        jobs = _of_the_usual_form(list(_measured_jobs(connection, model, since)))
        crash_rate = _crash_rate(connection, model, since)
    if len(jobs) < MIN_JOBS:
        return None
    clip_s = float(np.mean([job.clip_s for job in jobs]))
    of_step = list(zip(*(job.spans for job in jobs), strict=True))
    steps = [_step(spans, jobs, clip_s) for spans in of_step]
    source = f"the {len(jobs)} newest jobs of the ledger"
    known = replace(footprint, spread=_spread(jobs), crash_rate=crash_rate)
    return JobCosts(source, model, clip_s, _with_overhead(steps, of_step, _known_better(overhead, jobs)), known)


def _of_model(model: str, since: datetime | None) -> list[ColumnElement[bool]]:
    """The service's jobs of the model; `lipsync run --ledger` has no queues, no pools and no flow runs."""
    is_model = Job.model.startswith(f"{model}/", autoescape=True)
    wanted = [Job.pool == CPU_POOL, Job.created_at.is_not(None), Job.finished_at.is_not(None), is_model]
    return wanted if since is None else [*wanted, Job.created_at >= since]


def _crash_rate(connection: Connection, model: str, since: datetime | None) -> float:
    """The share of the attempts that another followed."""
    counts = select(func.count(), func.sum(Job.attempt)).where(*_of_model(model, since), Job.attempt > 0)
    jobs, attempts = connection.execute(counts).one()
    return 1.0 - float(jobs) / float(attempts) if attempts else 0.0


def _measured_jobs(connection: Connection, model: str, since: datetime | None) -> Iterator[_MeasuredJob]:
    wanted = [*_of_model(model, since), Job.state == JobState.COMPLETED, Job.attempt == 1, Job.duration_s > 0]
    newest = select(Job).where(*wanted).order_by(Job.finished_at.desc()).limit(_MAX_JOBS).subquery()
    of_job = (StageTiming.job_id == newest.c.id) & (StageTiming.attempt == 1) & (StageTiming.part_of == "")
    job = (
        newest.c.created_at,
        newest.c.finished_at.label("ended_at"),
        newest.c.duration_s,
        newest.c.cpu_s.label("run_s"),
    )
    query = select(*job, StageTiming)
    rows: dict[object, list[Row[tuple[object, ...]]]] = {}
    for row in connection.execute(query.join(StageTiming, of_job)):
        rows.setdefault(row.job_id, []).append(row)
    for stages in rows.values():
        if not any(stage.was_cached for stage in stages):
            yield _measured_job(stages)


def _measured_job(rows: Sequence[Row[tuple[object, ...]]]) -> _MeasuredJob:
    """Stages of one job in the order of their starts, with the gaps; those between stages of one run are one step."""
    began, clip_s = rows[0].created_at, rows[0].duration_s
    stages: dict[str, _Span] = {}
    for row in rows:
        span = _stage_span(row, began)
        other = stages.get(span.name)
        stages[span.name] = span if other is None else _joined(span, other)
    ordered = sorted(stages.values(), key=lambda each: each.start_s)
    end_s = (rows[0].ended_at - began).total_seconds()
    first = _Span(_START, "cpu", 0.0, ordered[0].start_s, 0.0, 0.0, is_gap=True)
    spans, between_s = [first, ordered[0]], 0.0
    for before, after in pairwise(ordered):
        if before.pool != after.pool:
            name = TO_GPU if after.pool == "gpu" else FROM_GPU
            spans.append(_Span(name, after.pool, before.end_s, after.start_s, 0.0, 0.0, is_gap=True))
        else:
            between_s += max(0.0, after.start_s - before.end_s)
        spans.append(after)
    spans.append(_Span(_BETWEEN, "cpu", 0.0, between_s, 0.0, 0.0, is_gap=True))
    spans.append(_Span(_END, "cpu", ordered[-1].end_s, end_s, 0.0, 0.0, is_gap=True))
    return _MeasuredJob(clip_s, rows[0].run_s, tuple(spans))


def _stage_span(row: Row[tuple[object, ...]], began: datetime) -> _Span:
    end_s = (row.finished_at - began).total_seconds()
    pool: Pool = "gpu" if row.pool == GPU_POOL else "cpu"
    is_on_gpu = bool(set((row.provider or "").split("+")) & _GPU_PROVIDERS)
    gpu_s = row.wall_s * (1.0 if row.gpu_util is None else row.gpu_util) if is_on_gpu else 0.0
    return _Span(_TOGETHER.get(row.stage, row.stage), pool, end_s - row.wall_s, end_s, row.cpu_s, gpu_s)


def _joined(a: _Span, b: _Span) -> _Span:
    """Two stages that overlap, as one."""
    start_s, end_s = min(a.start_s, b.start_s), max(a.end_s, b.end_s)
    return replace(a, start_s=start_s, end_s=end_s, cpu_s=a.cpu_s + b.cpu_s, gpu_s=a.gpu_s + b.gpu_s)


def _of_the_usual_form(jobs: Sequence[_MeasuredJob]) -> list[_MeasuredJob]:
    """The jobs with the most frequent list of steps: a ledger may hold jobs of other set-ups and releases."""
    forms = [tuple((span.name, span.pool) for span in job.spans) for job in jobs]
    usual = max(forms, key=forms.count, default=())
    return [job for job, form in zip(jobs, forms, strict=True) if form == usual]


def _step(spans: Sequence[_Span], jobs: Sequence[_MeasuredJob], clip_s: float) -> Step:
    """The step of the mean clip from the same step of all jobs."""
    first = spans[0]
    grows = not first.is_gap and first.name not in _FIXED
    scales = [clip_s / job.clip_s if grows else 1.0 for job in jobs]
    cpu_s = float(np.mean([span.cpu_s * scale for span, scale in zip(spans, scales, strict=True)]))
    gpu_s = float(np.mean([span.gpu_s * scale for span, scale in zip(spans, scales, strict=True)]))
    walls = [span.wall_s * scale for span, scale in zip(spans, scales, strict=True)]
    return _alone(
        Step(first.name, first.pool, cpu_s, gpu_s=gpu_s, grows=grows), float(np.percentile(walls, _ALONE_PERCENT))
    )


def _alone(step: Step, wall_s: float) -> Step:
    """The step with the threads and the waiting that make it last `wall_s` alone on a machine."""
    own_s = max(0.0, wall_s - step.control_s - step.gpu_s)
    threads = min(MAX_THREADS, max(1.0, step.cpu_s / own_s)) if own_s > 0 else 1.0
    return replace(step, threads=threads, wait_s=max(0.0, own_s - step.cpu_s / threads))


def _known_better(overhead: Overhead, jobs: Sequence[_MeasuredJob]) -> Overhead:
    """The overhead with the runs' CPU-seconds of these jobs, as far as their rows hold them."""
    known = [each.beside_stages_s for each in jobs if each.beside_stages_s is not None]
    return replace(overhead, runs_cpu_s=float(np.mean(known))) if known else overhead


def _with_overhead(steps: Sequence[Step], of_step: Sequence[Sequence[_Span]], overhead: Overhead) -> tuple[Step, ...]:
    """Share the CPU-seconds of runs and control plane among the gaps, in proportion to how long each is."""
    gaps_s = [_wall_alone_s(spans) if spans[0].is_gap else 0.0 for spans in of_step]
    whole_s = sum(gaps_s) or 1.0
    return tuple(_with_share(step, gap_s, gap_s / whole_s, overhead) for step, gap_s in zip(steps, gaps_s, strict=True))


def _with_share(step: Step, gap_s: float, share: float, overhead: Overhead) -> Step:
    if not gap_s:
        return step
    busy = replace(step, cpu_s=share * overhead.runs_cpu_s, control_s=share * overhead.control_cpu_s)
    return _alone(busy, gap_s)


def _wall_alone_s(spans: Sequence[_Span]) -> float:
    return float(np.percentile([span.wall_s for span in spans], _ALONE_PERCENT))


def _spread(jobs: Sequence[_MeasuredJob]) -> float:
    """The standard deviation of the CPU-seconds for a second of clip, over their mean."""
    rates = [sum(span.cpu_s for span in job.spans) / job.clip_s for job in jobs]
    mean = float(np.mean(rates))
    return float(np.std(rates)) / mean if mean else 0.0
