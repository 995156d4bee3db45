"""Prefect's own vacuum on a real server: old runs go with all that hangs on them, and the ledger still knows them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.servers import starts_servers

if TYPE_CHECKING:
    from tests.stack.conftest import Json, Service

pytestmark = starts_servers
LIMIT_S = 120.0
OFTEN = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "2",
}
#: What is left of the runs %s in each table of Prefect's database.
LEFT = {
    "flow_run": "SELECT count(*) FROM flow_run WHERE id = ANY(%s)",
    "task_run": "SELECT count(*) FROM task_run WHERE flow_run_id = ANY(%s)",
    "flow_run_state": "SELECT count(*) FROM flow_run_state WHERE flow_run_id = ANY(%s)",
    "log": "SELECT count(*) FROM log WHERE flow_run_id = ANY(%s)",
    "artifact": "SELECT count(*) FROM artifact WHERE flow_run_id = ANY(%s)",
    "artifact_collection": "SELECT count(*) FROM artifact_collection WHERE flow_run_id = ANY(%s)",
}
