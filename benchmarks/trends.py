"""Which of a service's values grow with the jobs that it has done, and which are flat."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

_PER_JOBS = 100
_SHARE = 0.01  # of the median, per hundred jobs
#: What a hundred jobs may add at least, by the first word of a thing's name.
_FLOORS = {"memory": 1.0, "descriptors": 1.0, "threads": 0.5, "disk": 1.0, "rows": 50.0, "objects": 10.0, "files": 1.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """The service after a number of jobs: sizes in MB, or counts, by name."""

    jobs: int
    elapsed_s: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trend:
    """One thing after the first jobs."""

    name: str
    first: float
    last: float
    slope: float  # per hundred jobs
    late_slope: float  # of the second half alone
    limit: float  # per hundred jobs

    @property
    def verdict(self) -> str:
        """`flat` or `GROWS`."""
        return "flat" if self.slope <= self.limit else "GROWS"


def trends(samples: Sequence[Sample], warm: int) -> list[Trend]:
    """The trend of everything that was ever there, from the first sample after `warm` jobs on."""
    late = [sample for sample in samples if sample.jobs >= warm]
    names = dict.fromkeys(name for sample in samples for name in sample.values)
    found = []
    for name in names:
        points = [(sample.jobs, sample.values.get(name, 0.0)) for sample in late]
        values = [value for _, value in points]
        floor = _FLOORS[name.split()[0]]
        limit = max(floor, _SHARE * statistics.median(values))
        half = points[len(points) // 2 :]
        found.append(Trend(name, values[0], values[-1], slope_of(points), slope_of(half), limit))
    return found


def slope_of(points: Sequence[tuple[int, float]]) -> float:
    """The median of the slopes of all pairs, per hundred jobs (Theil 1950, Sen 1968); 0 for a single point."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2)]
    return _PER_JOBS * statistics.median(slopes) if slopes else 0.0


def table(found: Sequence[Trend]) -> str:
    """The trends as Markdown."""
    lines = ["| what | first | last | per 100 jobs | second half | limit | |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {each.name} | {each.first:.1f} | {each.last:.1f} | {each.slope:+.2f} | {each.late_slope:+.2f} "
        f"| {each.limit:.2f} | {each.verdict} |"
        for each in found
    ]
    return "\n".join(lines)
