"""How long Prefect's database keeps what grows with every job: settings of its server's own vacuum.

Prefect 3.8.8 deletes old runs only where it is told to (`prefect/server/services/db_vacuum.py`): ended runs without a
parent go with their task runs, states, logs and artifacts; a child run loses its parent with it and goes in the next
batch. The ledger keeps its rows: jobs, stage times, and the keys that answer a repeated request.

The variables are Prefect's own; one that is set in the environment of the local stack goes before these.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RUNS_KEPT_DAYS: Final = 30
EVENTS_KEPT_DAYS: Final = 7
_DAY_S = 86_400

#: For every process of Prefect's server. Compose and Kubernetes hold the same (`tests/infra/test_retention.py`).
RETENTION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_KEPT_DAYS * _DAY_S),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{EVENTS_KEPT_DAYS}D",  # this one takes no plain seconds
        # Two a minute for each run; they matter only while it runs, which is a day at most.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": f'{{"prefect.flow-run.heartbeat": {_DAY_S}}}',
    }
)
