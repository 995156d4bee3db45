"""A movie by several processes of this machine, each at a segment of it."""

import tempfile
from fractions import Fraction
from pathlib import Path

from lipsync_core.catalogue import JobParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.machine import usable_cores, usable_memory_bytes
from lipsync_core.media.output import output_errors
from lipsync_core.movie import WrittenMovie, join_segments
from lipsync_core.readers_usage import add_beside
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.segment_processes import SegmentProcesses, can_copy_this_process
from lipsync_core.segment_work import FEWEST, SegmentWork, Waits, cut

#: A segment costs a decode from the key frame before it and an encoder: of much shorter ones that is a tenth.
_SHORTEST_S = Fraction(2)
_LONGEST_S = Fraction(60)  # of what is done again where a process is killed, and of what lies on the disk
_CORES_OF_ONE = 2  # decoder, painting and encoder keep nearly so many busy
_PROCESS_BYTES = 120 << 20
_PICTURES = 40  # that a process holds, in decoder, queues and encoder
_MEMORY_SHARE = 2  # one half of the memory that there is


def chosen_jobs(wanted: int | None, plan: ClipPlan, parts: JobParts, encoder: EncoderChoice) -> int:
    """How many processes are to render the movie of `plan`; `wanted` None: as cores and memory allow.

    It is one where a network sees the pictures, for it has threads, which copies of a process lack; where a GPU that
    was chosen by itself encodes, which takes few movies at a time; and where the movie is too short.
    """
    sees_pictures = (
        parts.inference.generator.cropper(plan.clip.track) is not None or parts.rendering.enhancer is not None
    )
    if wanted == 1 or sees_pictures or encoder.fallback is not None or not can_copy_this_process():
        return 1
    most = max(1, min(int(plan.timeline.duration_s / _SHORTEST_S), len(plan.timeline) // FEWEST))
    return min(most, wanted or _jobs_for_the_machine(plan))


def movie_of_segments(work: SegmentWork, jobs: int, clock: StageClock, progress: ProgressCallback) -> WrittenMovie:
    """Render the segments of `work` by so many processes, and join them.

    Raises:
        LipSyncError: as `SegmentProcesses.rendered` and `movie.join_segments`.
    """
    longest_s = max(_SHORTEST_S, min(_LONGEST_S, work.plan.timeline.duration_s / jobs))
    segments = cut(work.plan, longest_s)
    output = work.request.output.resolve()
    with (  # beside the output, whose disk has room for it
        output_errors(output),
        tempfile.TemporaryDirectory(prefix=f".{output.stem[:40]}.", dir=output.parent) as folder,
        SegmentProcesses(work, segments, jobs, Path(folder)) as processes,
    ):

        def seen(step: Progress) -> None:
            """Have limits count what the processes use, before the callback looks at them."""
            clock.see_beside(processes.cpu_s)
            add_beside(processes.peak_bytes)
            progress(step)

        waits = Waits(processes.rendered(seen))
        movie = join_segments(waits, work.plan, work.request, clock)
    clock.absorb(processes.timings, waits.waited_s)
    return movie


def _jobs_for_the_machine(plan: ClipPlan) -> int:
    by_cores = usable_cores() // _CORES_OF_ONE
    memory_bytes = usable_memory_bytes()
    if memory_bytes is None:
        return by_cores
    each_bytes = _PROCESS_BYTES + _PICTURES * plan.video.picture.size_bytes
    return max(1, min(by_cores, memory_bytes // _MEMORY_SHARE // each_bytes))
