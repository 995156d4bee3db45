"""The stage log: the time, memory and GPU load of every stage, collected while the job runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lipsync_core.clock import StageClock, StageTiming
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.serving_counts import NOTHING, ServingCounts
from lipsync_service.gpu_meter import GpuUse, ReadGpu, gpu_watched


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of a job. Stages that stream into each other overlap in time."""

    stage: str
    wall_s: float
    cpu_s: float  # of the stage's own thread and of its codecs' threads
    items: int  # frames, or files
    size_bytes: int | None  # of the files that it moved or wrote
    was_cached: bool  # an earlier run's result was used
    peak_rss_bytes: int
    gpu_util: float | None  # mean, 0..1; None where no GPU was sampled
    gpu_mem_bytes: int | None  # of the whole GPU, at most
    provider: str | None  # that ran the stage's networks; None where it ran none
    served: ServingCounts | None  # what it asked of a model server; None where it asked for nothing
    finished_at: datetime
    note: str  # on what it did, for people
    parts: tuple[StageTiming, ...]  # finer rows
    part_of: str = ""  # the stage that this one is a part of, on this machine or another


class StageMeter:
    """The measurements that a stage makes of itself while it runs."""

    def __init__(self) -> None:
        self.clock = StageClock()
        self.items = 0
        self.size_bytes: int | None = None
        self.was_cached = False
        self.note = ""
        self.gpu = GpuUse()


class StageLog:
    """The stages that have run, in the order in which they ended. Threads may add at the same time."""

    def __init__(self, read_gpu: ReadGpu | None = None) -> None:
        self._runs: list[StageRun] = []
        self._read_gpu = read_gpu

    @property
    def runs(self) -> tuple[StageRun, ...]:
        """All so far."""
        return tuple(self._runs)

    @contextmanager
    def stage(self, name: str, part_of: str = "") -> Iterator[StageMeter]:
        """Measure the block as stage `name` of the job, or as a part of another stage, also when it fails."""
        meter = StageMeter()
        try:
            with gpu_watched(self._read_gpu, meter.gpu):
                yield meter
        finally:
            self._runs.append(replace(_stage_run(name, meter), part_of=part_of))


def _stage_run(name: str, meter: StageMeter) -> StageRun:
    wall_s = meter.clock.wall_s
    parts = tuple(part for part in meter.clock.timings() if part.stage != "other")
    return StageRun(
        stage=name,
        wall_s=wall_s,
        cpu_s=sum(part.cpu_s for part in parts),
        items=meter.items,
        size_bytes=meter.size_bytes,
        was_cached=meter.was_cached,
        peak_rss_bytes=peak_resident_bytes(),
        gpu_util=meter.gpu.mean_utilisation,
        gpu_mem_bytes=meter.gpu.peak_memory_bytes,
        provider="+".join(sorted({part.provider for part in parts if part.provider})) or None,
        served=_together([part.served for part in parts if part.served]),
        finished_at=datetime.now(UTC),
        note=meter.note,
        parts=parts,
    )


def _together(served: Sequence[ServingCounts]) -> ServingCounts | None:
    return sum(served, NOTHING) if served else None
