"""The service for its callers: `open_client` gives a `JobClient`, which takes a `LipSyncRequest`.

Nothing here imports Prefect: its REST API is all that a caller needs.
"""

from lipsync_service.client.job import Job
from lipsync_service.client.job_client import JobClient, JobProgress, JobQuery, Submission, open_client
from lipsync_service.client.request import LipSyncRequest

__all__ = ["Job", "JobClient", "JobProgress", "JobQuery", "LipSyncRequest", "Submission", "open_client"]
