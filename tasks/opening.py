"""Opens a job on this machine: what it shares, the folder it works in, the threads it may use."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits

from lipsync_core.catalogue import load_parts
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.workspace import Workspace
from tasks.job import ServiceJob
from tasks.settings import Settings
from tasks.stage_log import StageLog
from tasks.storage import Storage


@contextmanager
def open_job(options: JobOptions, settings: Settings) -> Iterator[ServiceJob]:
    """One job, whose folder and fetched files go when the block ends. The folder is below TMPDIR.

    Raises:
        LipSyncError: as `lipsync_core.catalogue.load_parts`, or the shared storage's settings cannot be used.
    """
    # OpenCV's and BLAS's own threads gain nothing on regions this small, and take CPU time from the codecs.
    cv2.setNumThreads(1)
    with (
        threadpool_limits(limits=1, user_api="blas"),
        tempfile.TemporaryDirectory(prefix="lipsync-job-") as folder,
        ExitStack() as leases,
    ):
        yield ServiceJob(
            options=options,
            parts=load_parts(options, ModelStore(Workspace.default().models)),
            files=Storage(settings),
            shared_url=settings.storage_url,
            folder=Path(folder),
            log=StageLog(),
            leases=leases,
        )
