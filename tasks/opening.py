"""Opens a job on this machine: its shared values, its folder and its limits on threads."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lipsync_core.errors import LipSyncError
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.threads import no_thread_pools, threads_limited
from lipsync_core.workspace import Workspace
from lipsync_service.gpu_meter import open_gpu
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage
from lipsync_service.worker.capacity import threads_of_a_run
from lipsync_service.worker.job_folders import folder_prefix
from tasks.job import ServiceJob
from tasks.stage_log import StageLog


@contextmanager
def open_job(options: JobOptions, settings: Settings) -> Iterator[ServiceJob]:
    """One job. Its folder, below TMPDIR, is removed and its fetched files are released when the block ends.

    Raises:
        LipSyncError: the shared storage's settings cannot be used; or that of the block, as `ServiceJob.for_caller`.
    """
    with (
        no_thread_pools(),
        threads_limited(threads_of_a_run(settings)),
        tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder,
        ExitStack() as leases,
    ):
        job = ServiceJob(
            options=options,
            models=ModelStore(Workspace.default().models),
            execution=settings.execution,
            files=Storage(settings),
            shared_url=settings.storage_url,
            max_input_s=settings.max_duration_s,
            max_gpu_wait_s=settings.gpu_wait_s,
            folder=Path(folder),
            log=StageLog(open_gpu(settings.visible_gpus)),
            leases=leases,
        )
        try:
            yield job
        except LipSyncError as error:
            raise job.for_caller(error) from error
