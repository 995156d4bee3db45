"""The timing report of a period's jobs: median, 95th percentile and share of every stage, from the ledger.

The database picks the percentiles, so that a report over a million rows reads a few hundred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select

from lipsync_service.ledger.counts import (
    ModelScores,
    frames_by_outcome,
    jobs_by_change,
    jobs_by_error,
    jobs_by_signature,
    jobs_by_warning,
    scores_by_model,
)
from lipsync_service.ledger.database import reading_known
from lipsync_service.ledger.tables import Job, StageTiming

_LIMIT_S = 120  # for each statement
_MEDIAN, _P95 = 50, 95  # percent
#: The numbered parts of a job; those of a kind are one line.
_NUMBERED = ("segment", "track part", "infer part")


def _is_numbered(kind: str) -> ColumnElement[bool]:
    """Everything stands in the text of the query: a parameter here and one in its GROUP BY are two for PostgreSQL."""
    begins = func.substr(StageTiming.stage, literal_column("1"), literal_column(f"{len(kind) + 1}"))
    return literal_column(f"'{kind} '") == begins


_STAGE = case(
    *((_is_numbered(kind), literal_column(f"'{kind}'")) for kind in _NUMBERED), else_=StageTiming.stage
).label("stage")
_GROUP = (StageTiming.part_of, _STAGE)
_MAX_BUCKETS = 24
_WIDTHS_S = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 28 * 86_400)


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """The stages that count: those that ended in [since, until), on this pool, for this model; None: all."""

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None  # the name ("viseme") or name and version ("viseme/1")
    pool: str | None = None
    job_ids: tuple[UUID, ...] | None = None  # of these jobs only


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage over the period; times are wall seconds of one run that was not taken from a cache."""

    stage: str
    part_of: str  # "" for a stage of the job itself
    runs: int
    cached: int  # beside `runs`
    median_s: float
    p95_s: float
    total_s: float  # cached ones included
    cpu_s: float  # in total
    share: float  # of the time of all stages, 0..1; of a part: of that same time
    providers: tuple[tuple[str, int], ...] = ()  # that ran the stage's networks, each with its number of runs


@dataclass(frozen=True, slots=True)
class Bucket:
    """A slice of the period with the mean seconds that one job spent in each stage."""

    start: datetime
    jobs: int
    stages: tuple[tuple[str, float], ...]  # stage, mean wall seconds a job


@dataclass(frozen=True, slots=True)
class TimingBreakdown:
    """The report. Lines come largest stage first, each followed by its parts."""

    filter: ReportFilter
    first: datetime | None  # end of the first and of the last stage counted; None: there is none
    last: datetime | None
    jobs: int
    states: tuple[tuple[str, int], ...]  # jobs by state
    errors: tuple[tuple[str, int], ...]  # failed jobs by code, most frequent first
    outcomes: tuple[tuple[str, int], ...]  # output frames by outcome
    changes: tuple[tuple[str, int], ...]  # kinds of changes to every picture, with their jobs, most frequent first
    warnings: tuple[tuple[str, int], ...]  # codes of the preflight, with their jobs, most frequent first
    signatures: tuple[tuple[str, int], ...]  # signed, unsigned, or a code, with their jobs, most frequent first
    scores: tuple[ModelScores, ...]  # of each model
    lines: tuple[StageLine, ...]
    bucket_s: int  # width of a bucket
    buckets: tuple[Bucket, ...]  # in time, none without a job

    @property
    def total_s(self) -> float:
        """Wall seconds of all stages, parts not counted again."""
        return sum(line.total_s for line in self.lines if not line.part_of)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all stages, parts excluded."""
        return sum(line.cpu_s for line in self.lines if not line.part_of)


def timing_breakdown(database_url: str, wanted: ReportFilter) -> TimingBreakdown:
    """Read the report from the ledger.

    Raises:
        LedgerUnavailableError: the database is down or has no ledger.
        OptionError: the address is not one of a database that the ledger knows.
    """
    with reading_known(database_url, _LIMIT_S) as connection:
        return _read(connection, wanted)


def _read(connection: Connection, wanted: ReportFilter) -> TimingBreakdown:
    period = select(func.min(StageTiming.finished_at), func.max(StageTiming.finished_at)).where(*_conditions(wanted))
    first, last = connection.execute(period).one()
    width_s = _bucket_width_s(first, last)
    of_job = _job_conditions(wanted)
    states = select(Job.state, func.count()).where(*of_job).group_by(Job.state).order_by(Job.state)
    return TimingBreakdown(
        filter=wanted,
        first=first,
        last=last,
        jobs=connection.execute(select(func.count(Job.id)).where(*of_job)).scalar_one(),
        states=tuple((state, count) for state, count in connection.execute(states)),
        errors=jobs_by_error(connection, *of_job),
        outcomes=frames_by_outcome(connection, *of_job),
        changes=jobs_by_change(connection, *of_job),
        warnings=jobs_by_warning(connection, *of_job),
        signatures=jobs_by_signature(connection, *of_job),
        scores=scores_by_model(connection, *of_job),
        lines=_lines(connection, wanted),
        bucket_s=width_s,
        buckets=_buckets(connection, wanted, _bucket_starts(first, last, width_s), width_s),
    )


def _conditions(wanted: ReportFilter) -> list[ColumnElement[bool]]:
    """For stage timings."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(StageTiming.finished_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(StageTiming.finished_at < wanted.until)
    if wanted.pool is not None:
        conditions.append(StageTiming.pool == wanted.pool)
    if wanted.model is not None:
        conditions.append(StageTiming.job_id.in_(select(Job.id).where(_is_model(wanted.model))))
    if wanted.job_ids is not None:
        conditions.append(StageTiming.job_id.in_(wanted.job_ids))
    return conditions


def _is_model(model: str) -> ColumnElement[bool]:
    return or_(Job.model == model, Job.model.startswith(f"{model}/", autoescape=True))


def _job_conditions(wanted: ReportFilter) -> list[ColumnElement[bool]]:
    """For jobs that have a stage in the report, or that ended in its period without any."""
    timed = select(StageTiming.job_id).where(*_conditions(wanted))
    ended: list[ColumnElement[bool]] = [Job.finished_at.is_not(None)]
    if wanted.since is not None:
        ended.append(Job.finished_at >= wanted.since)
    if wanted.until is not None:
        ended.append(Job.finished_at < wanted.until)
    if wanted.pool is not None:
        ended.append(Job.pool == wanted.pool)
    if wanted.model is not None:
        ended.append(_is_model(wanted.model))
    if wanted.job_ids is not None:
        ended.append(Job.id.in_(wanted.job_ids))
    return [or_(Job.id.in_(timed), and_(*ended))]


def _percentiles(connection: Connection, wanted: ReportFilter) -> dict[tuple[str, str], tuple[float, float]]:
    """Median and p95 by part and stage, interpolated linearly between the two nearest runs."""
    ordered = (
        select(
            *_GROUP,
            StageTiming.wall_s,
            (func.row_number().over(partition_by=_GROUP, order_by=StageTiming.wall_s) - 1).label("rank"),
            (func.count().over(partition_by=_GROUP) - 1).label("last"),
        )
        .where(*_conditions(wanted), StageTiming.was_cached.is_(False))
        .subquery()
    )
    rank, last = 100 * ordered.c.rank, ordered.c.last
    near = [and_(rank > percent * last - 100, rank < percent * last + 100) for percent in (_MEDIAN, _P95)]
    found: dict[tuple[str, str], dict[int, float]] = {}
    lasts: dict[tuple[str, str], int] = {}
    for row in connection.execute(select(ordered).where(or_(*near))):
        found.setdefault((row.part_of, row.stage), {})[row.rank] = row.wall_s
        lasts[row.part_of, row.stage] = row.last
    return {key: (_at(ranks, lasts[key], _MEDIAN), _at(ranks, lasts[key], _P95)) for key, ranks in found.items()}


def _at(wall_s: dict[int, float], last: int, percent: int) -> float:
    """The percentile from the runs at the ranks around it."""
    rank, hundredths = divmod(percent * last, 100)
    if not hundredths:
        return wall_s[rank]
    return wall_s[rank] + (wall_s[rank + 1] - wall_s[rank]) * hundredths / 100


def _lines(connection: Connection, wanted: ReportFilter) -> tuple[StageLine, ...]:
    cached = func.sum(case((StageTiming.was_cached, 1), else_=0))
    seconds = (func.sum(StageTiming.wall_s), func.sum(StageTiming.cpu_s))
    sums = connection.execute(
        select(*_GROUP, func.count(), cached, *seconds).where(*_conditions(wanted)).group_by(*_GROUP)
    ).all()
    whole_s = sum(row[4] for row in sums if not row.part_of)
    percentiles, providers = _percentiles(connection, wanted), _providers(connection, wanted)
    lines = []
    for part_of, stage, rows, from_cache, wall_s, cpu_s in sums:
        median_s, p95_s = percentiles.get((part_of, stage), (0.0, 0.0))
        share = wall_s / whole_s if whole_s > 0 else 0.0
        runs = rows - from_cache
        ran_on = tuple(providers.get((part_of, stage), ()))
        lines.append(StageLine(stage, part_of, runs, from_cache, median_s, p95_s, wall_s, cpu_s, share, ran_on))
    return _in_order(lines)


def _providers(connection: Connection, wanted: ReportFilter) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Execution providers by part and stage, each with its number of runs; stages without a network have none."""
    query = (
        select(*_GROUP, StageTiming.provider, func.count())
        .where(*_conditions(wanted), StageTiming.provider.is_not(None))
        .group_by(*_GROUP, StageTiming.provider)
        .order_by(StageTiming.provider)
    )
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for part_of, stage, provider, runs in connection.execute(query):
        found.setdefault((part_of, stage), []).append((provider or "", runs))
    return found


def _in_order(lines: Sequence[StageLine]) -> tuple[StageLine, ...]:
    """The largest stage first, each followed by its parts."""
    totals = {line.stage: line.total_s for line in lines if not line.part_of}

    def rank(line: StageLine) -> tuple[float, str, bool, float, str]:
        """Sort by the time of the whole stage; the stage comes before its parts, and those by their own time."""
        owner = line.part_of or line.stage
        return (-totals.get(owner, 0.0), owner, bool(line.part_of), -line.total_s, line.stage)

    return tuple(sorted(lines, key=rank))


def _bucket_width_s(first: datetime | None, last: datetime | None) -> int:
    span_s = (last - first).total_seconds() if first and last else 0.0
    return next((width for width in _WIDTHS_S if span_s / width < _MAX_BUCKETS), max(_WIDTHS_S))


def _bucket_starts(first: datetime | None, last: datetime | None, width_s: int) -> list[datetime]:
    """Round moments from the first stage's to the last one's; at most a few dozen."""
    if first is None or last is None:
        return []
    start = datetime.fromtimestamp(first.timestamp() // width_s * width_s, first.tzinfo)
    count = int((last - start).total_seconds() // width_s) + 1
    return [start + timedelta(seconds=width_s * index) for index in range(count)]


def _buckets(
    connection: Connection, wanted: ReportFilter, starts: Sequence[datetime], width_s: int
) -> tuple[Bucket, ...]:
    buckets = []
    for start in starts:
        end = start + timedelta(seconds=width_s)
        inside = [StageTiming.finished_at >= start, StageTiming.finished_at < end, *_conditions(wanted)]
        jobs = connection.execute(select(func.count(StageTiming.job_id.distinct())).where(*inside)).scalar_one()
        if jobs:
            sums = select(StageTiming.stage, func.sum(StageTiming.wall_s)).where(*inside, StageTiming.part_of == "")
            stages = connection.execute(sums.group_by(StageTiming.stage).order_by(StageTiming.stage)).all()
            buckets.append(Bucket(start, jobs, tuple((name, wall_s / jobs) for name, wall_s in stages)))
    return tuple(buckets)
