"""Opens a job on this machine: its shared values, its folder and its limits on threads."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction

from lipsync_core.errors import LipSyncError
from lipsync_core.isolation.room import reading_room
from lipsync_core.limits import limited
from lipsync_core.media.allowed import allowing
from lipsync_core.media.output import require_room
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.threads import no_thread_pools, threads_limited
from lipsync_core.workspace import Workspace
from lipsync_service.cleaning.host import clean_host_seldom, job_folder
from lipsync_service.gpu_meter import open_gpu
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.storage import Storage
from lipsync_service.worker.capacity import threads_of_a_run
from tasks.job import ServiceJob
from tasks.stage_log import StageLog


@contextmanager
def open_job(options: JobOptions, settings: Settings, reach: Reach | None = None) -> Iterator[ServiceJob]:
    """One job. Its folder, below TMPDIR, is removed and its fetched files are released when the block ends.

    `reach` is what its addresses may name, by default what those of a service without tenants may.

    Raises:
        DiskLimitError: the disk of its folder is nearly full.
        LipSyncError: the shared storage's settings cannot be used; or that of the block, as `ServiceJob.for_caller`.
    """
    reach = reach or Reach(settings)
    with (
        reading_room("all" if settings.isolate else "nothing"),
        no_thread_pools(),
        threads_limited(threads_of_a_run(settings)),
        limited(settings.limits),
        allowing(settings.allowed),
        job_folder() as folder,
        ExitStack() as leases,
    ):
        require_room(folder)
        job = ServiceJob(
            options=options,
            models=ModelStore(Workspace.default().models),
            execution=settings.execution,
            files=Storage(settings, reach=reach),
            shared_url=reach.area_url,
            max_input_s=settings.max_duration_s,
            max_gpu_wait_s=settings.gpu_wait_s,
            longest_segment_s=Fraction(settings.segment_s),
            folder=folder,
            log=StageLog(open_gpu(settings.visible_gpus)),
            leases=leases,
        )
        try:
            with memory_shortage_told():
                yield job
        except LipSyncError as error:
            raise job.for_caller(error) from error
        finally:
            clean_host_seldom(settings)
