"""The settings of Prefect's server, as environment variables: what is not used, seldom; the rest in batches.

The local stack takes them from here. Compose and Kubernetes repeat them; a test compares.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: All that depends on the place of the server (its database, its brokers) is missing.
SERVER_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Task runs and events are written in batches, not one transaction each; a task shows up within a second. The
        # server cuts the interval to whole seconds, and with 0 it would never pause.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "50",
        # Each connection learns statements until its process at PostgreSQL holds 7 MB; a new one begins with 2 MB. s.
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_RECYCLE": "300",
        # Loops that look for what happens seldom, s. Runs late by 15 s, silent for 90 s and schedules stay as exact as
        # the documents promise.
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT10S",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "15",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "30",
        "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "30",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_TRIGGERS_PG_NOTIFY_HEARTBEAT_INTERVAL_SECONDS": "30",
    }
)
