"""Whether a crashed job may still be started again by the service's watcher."""

from datetime import UTC, datetime
from uuid import UUID

from lipsync_service.client.job import Job

_RECOVERY_S = 20.0  # how long a crashed job may take to start again; the watcher itself waits ten
#: Of crashed jobs: when each crashed last, and the time.monotonic() at which that was seen.
Crashes = dict[UUID, tuple[datetime, float]]


def may_run_again(job: Job, crashes: Crashes, now_s: float) -> bool:
    """Whether a crash of `job` is so new, at time.monotonic() `now_s`, that the watcher may still start it again.

    `crashes` notes the crash, until the job runs again.
    """
    if not job.is_crashed:
        crashes.pop(job.id, None)
        return False
    crash_at, first_seen_s = crashes.get(job.id, (None, 0.0))
    if crash_at != job.since:  # another crash than that of an earlier attempt
        first_seen_s = now_s  # clocks of two machines may differ
        crashes[job.id] = (job.since, first_seen_s)
    age_s = (datetime.now(UTC) - job.since).total_seconds()
    return max(age_s, now_s - first_seen_s) < _RECOVERY_S
