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
    runs_between_levels: int  # of `lipsync run`, before the first and after the last too: a machine's speed changes
    cached: tuple[Level, ...]
    workers: tuple[int, ...]  # of each pool, one number after the other
    worker_level: Level  # the load for each of them
    idle_s: float
    seconds: float | None  # cuts the clips; None: as long as they are

    @property
    def inputs(self) -> int:
        """The input pairs that all loads together need, and the first, unmeasured request and the last runs."""
        loads = [*self.levels, *(self.worker_level for _ in self.workers)]
        return 1 + sum(level.requests for level in loads) + self.runs_between_levels

    def with_workers(self, is_wanted: bool) -> "Form":
        """The form, without the loads for several numbers of workers unless they are wanted."""
        return self if is_wanted else replace(self, workers=())


WHOLE = Form(
    # To fill and to drain the machine takes some .8 s, in which not all cores work. Each level lasts at least 16 s, so
    # that this is 5 % of it at most; from 4 at once on, where a request waits for others, two for each caller do.
    levels=(Level(1, 4), Level(2, 8), Level(4, 12), Level(8, 16), Level(16, 32)),
    runs_between_levels=2,
    cached=(Level(1, 2), Level(4, 8)),
    workers=(1, 2, 4, 8),
    worker_level=Level(8, 8),
    idle_s=30.0,
    seconds=None,
)
QUICK = Form(
    levels=(Level(1, 2), Level(2, 4), Level(4, 8)),
    runs_between_levels=1,
    cached=(Level(2, 2),),
    workers=(1, 2),
    worker_level=Level(4, 4),
    idle_s=8.0,
    seconds=3.0,
)
