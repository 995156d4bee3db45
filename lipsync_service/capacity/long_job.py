"""How long one job takes whose clip is so long that several workers do its parts at once."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lipsync_core.division import part_count
from lipsync_core.face.shots import STRETCH_S
from lipsync_service.capacity.costs import JobCosts, Step
from lipsync_service.names import MOST_PARTS

_START = "start"
_TRACK, _INFER, _RENDER = "track", "infer", "render"


@dataclass(frozen=True, slots=True)
class LongJobTime:
    """One long job on some workers, in seconds from its start to its end."""

    workers: int
    wall_s: float
    track_s: float  # from its first part to the end of its last
    render_s: float  # of the segments, and of the edits where they are parts too
    alone_s: float  # one run alone is at work: before, between and after the parts

    @property
    def binding(self) -> str:
        """What takes most of the time."""
        spent = {"rendering": self.render_s, "tracking": self.track_s, "what one run does alone": self.alone_s}
        return max(spent, key=lambda name: spent[name])


@dataclass(frozen=True, slots=True)
class LongJob:
    """The answer to: how long does this clip take on so many workers?"""

    costs: JobCosts  # for the clip
    segment_s: float
    parts: int
    cores: float  # of each worker
    times: tuple[LongJobTime, ...]


def foretell(costs: JobCosts, most_workers: int, segment_s: float, cores: float) -> LongJob:
    """The times on 1, 2, 4, ... and `most_workers` workers with one slot and so many cores each.

    No more than `MOST_PARTS` work at once. Where the costs have steps on the GPU pool, it has as many workers. Nothing
    else runs. The control plane is no bottleneck: it has seconds of work, and a job of parts minutes.
    """
    parts = part_count(Fraction(costs.clip_s), Fraction(segment_s)) if segment_s else 1
    counts = sorted({most_workers, *(2**power for power in range(20) if 2**power < most_workers)})
    times = tuple(_time(costs, workers, parts, cores) for workers in counts)
    return LongJob(costs, segment_s, parts, cores, times)


def _time(costs: JobCosts, workers: int, parts: int, cores: float) -> LongJobTime:
    steps = {step.name: step for step in costs.steps}
    start_s = _wall_s(steps.get(_START), cores)
    infer = steps.get(_INFER)
    sees_pictures = infer is not None and infer.gpu_s > 0
    divided = {_TRACK, _RENDER, _INFER} if sees_pictures else {_TRACK, _RENDER}
    alone_s = sum(_wall_s(step, cores) for step in costs.steps if step.name not in divided)
    on_gpu_pool = costs.has_gpu_pool
    stretches = max(1, min(parts, int(costs.clip_s / STRETCH_S)))
    track_s = max(
        _ends([0.0] * stretches, _wall_s(steps.get(_TRACK), cores) / stretches, workers, start_s, not on_gpu_pool)
    )
    ready = [0.0] * parts
    if sees_pictures:
        ready = sorted(_ends(ready, _wall_s(infer, cores) / parts, workers, start_s, helps=False))
    render_s = max(_ends(ready, _wall_s(steps.get(_RENDER), cores) / parts, workers, start_s, helps=True))
    return LongJobTime(workers, alone_s + track_s + render_s, track_s, render_s, alone_s)


def _ends(ready: Sequence[float], part_s: float, workers: int, start_s: float, helps: bool) -> list[float]:
    """When each part ends that can begin when it is `ready`: the job's own run `helps`, others start anew for each."""
    workers = min(workers, MOST_PARTS)
    starts_s = [0.0 if helps and len(ready) > 1 and index == 0 else start_s for index in range(workers)]
    if len(ready) == 1:
        starts_s = [0.0]
    free = [(0.0, index) for index in range(len(starts_s))]
    heapq.heapify(free)
    ends = []
    for ready_s in ready:
        free_s, index = heapq.heappop(free)
        end_s = max(free_s, ready_s) + starts_s[index] + part_s
        ends.append(end_s)
        heapq.heappush(free, (end_s, index))
    return ends


def _wall_s(step: Step | None, cores: float) -> float:
    """Seconds of a step on a worker with so many cores."""
    if step is None:
        return 0.0
    return step.wait_s + step.control_s + step.cpu_s / min(step.threads, cores) + step.gpu_s
