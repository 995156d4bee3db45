"""Watches over a running job's time, processor time and memory."""

from lipsync_core.clock import StageClock
from lipsync_core.limit_errors import CpuLimitError, MemoryLimitError, TimeLimitError
from lipsync_core.limits import limits
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.report import Progress, ProgressCallback

_REMEDY = "use a shorter input, or a smaller picture"


class JobWatch:
    """The job that `clock` measures, from now on."""

    def __init__(self, clock: StageClock) -> None:
        self._clock = clock
        self._before_bytes = peak_resident_bytes()  # of the program that this job is a part of

    def require_within_limits(self) -> None:
        """Check its time, its processor time and the memory that it has added to its process.

        Raises:
            TimeLimitError, CpuLimitError, MemoryLimitError: it is beyond a limit.
        """
        present = limits()
        if self._clock.wall_s > present.max_job_s:
            raise TimeLimitError(f"the job takes longer than {present.max_job_s:g} s", _REMEDY)
        if self._clock.cpu_s > present.max_job_cpu_s:
            raise CpuLimitError(f"the job takes more than {present.max_job_cpu_s:g} s of processor time", _REMEDY)
        if peak_resident_bytes() - self._before_bytes > present.max_job_memory_bytes:
            raise MemoryLimitError(f"the job takes more than {present.max_job_memory_bytes} bytes of memory", _REMEDY)

    def watched(self, progress: ProgressCallback) -> ProgressCallback:
        """`progress`, which also checks the job: every few frames."""

        def checked(step: Progress) -> None:
            self.require_within_limits()
            progress(step)

        return checked
