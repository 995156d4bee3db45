"""The two forms of a measurement: which loads it applies, and how long its clips are."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Level:
    """One load: so many requests in all, so many of them under way at any time."""

    at_once: int
    requests: int


@dataclass(frozen=True, slots=True)
class Form:
    """The loads of one measurement."""

    levels: tuple[Level, ...]
    runs_before_level: int  # of `lipsync run`, so that both are measured in the same minutes
    cached: tuple[Level, ...]
    workers: tuple[int, ...]  # of each pool, one number after the other
    worker_level: Level  # the load for each of them
    idle_s: float
    seconds: float | None  # cuts the clips; None: as long as they are

    @property
    def inputs(self) -> int:
        """The input pairs that all loads together need, one for the first, unmeasured request included."""
        loads = [*self.levels, *(self.worker_level for _ in self.workers)]
        return 1 + sum(level.requests for level in loads)

    def with_workers(self, is_wanted: bool) -> "Form":
        """The form, without the loads for several numbers of workers unless they are wanted."""
        return self if is_wanted else replace(self, workers=())


WHOLE = Form(
    # From two at once on each caller sends at least two, so that most of a load is neither its start nor its end.
    levels=(Level(1, 3), Level(2, 4), Level(4, 8), Level(8, 16), Level(16, 32)),
    runs_before_level=2,
    cached=(Level(1, 2), Level(4, 8)),
    workers=(1, 2, 4, 8),
    worker_level=Level(8, 8),
    idle_s=30.0,
    seconds=None,
)
QUICK = Form(
    levels=(Level(1, 2), Level(2, 4), Level(4, 8)),
    runs_before_level=1,
    cached=(Level(2, 2),),
    workers=(1, 2),
    worker_level=Level(4, 4),
    idle_s=8.0,
    seconds=3.0,
)
