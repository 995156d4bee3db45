"""Watches over a running job's time, processor time and memory."""

from lipsync_core.clock import StageClock
from lipsync_core.limit_errors import CpuLimitError, MemoryLimitError, TimeLimitError
from lipsync_core.limits import limits
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.report import Progress, ProgressCallback

_REMEDY = "use a shorter input, or a smaller picture"


def within_limits(clock: StageClock, progress: ProgressCallback) -> ProgressCallback:
    """`progress`, which ends the job that `clock` measures where that is beyond a limit: every few frames."""
    before_bytes = peak_resident_bytes()  # of the program that this job is a part of

    def watched(step: Progress) -> None:
        require_job_within_limits(clock, before_bytes)
        progress(step)

    return watched


def require_job_within_limits(clock: StageClock, before_bytes: int) -> None:
    """Check the job that `clock` measures, and what its process has added to the peak memory `before_bytes`.

    Raises:
        TimeLimitError, CpuLimitError, MemoryLimitError: it is beyond a limit.
    """
    present = limits()
    if clock.wall_s > present.max_job_s:
        raise TimeLimitError(f"the job takes longer than {present.max_job_s:g} s", _REMEDY)
    if clock.cpu_s > present.max_job_cpu_s:
        raise CpuLimitError(f"the job takes more than {present.max_job_cpu_s:g} s of processor time", _REMEDY)
    if peak_resident_bytes() - before_bytes > present.max_job_memory_bytes:
        raise MemoryLimitError(f"the job takes more than {present.max_job_memory_bytes} bytes of memory", _REMEDY)
