"""What Prefect's database keeps: the same settings in every stack, and each one understood by Prefect."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")
pytest.importorskip("prefect", reason="the extra service is missing")

from lipsync_service.callbacks.deliveries import KEPT  # noqa: E402
from lipsync_service.deploy.retention import EVENTS_KEPT_DAYS, RETENTION, RUNS_KEPT_DAYS  # noqa: E402

ROOT = Path(__file__).parents[2]
LOOKS_BACK = timedelta(hours=24)  # the watcher, for jobs that ended while it was away
READ = """
import json
from prefect.settings import get_current_settings
server = get_current_settings().server
vacuum = server.services.db_vacuum
times = (vacuum.retention_period, server.events.retention_period, *vacuum.event_retention_overrides.values())
print(json.dumps([sorted(vacuum.enabled_vacuum_types), [each.total_seconds() for each in times]]))
"""


def test_every_server_of_prefect_keeps_the_same() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())["services"]
    for name in ("prefect-server", "prefect-services"):
        assert RETENTION.items() <= compose[name]["environment"].items()
    config = next(iter(yaml.safe_load_all((ROOT / "infra/k8s/base/config.yaml").read_text())))
    assert config["metadata"]["name"] == "lipsync-server"
    assert RETENTION.items() <= config["data"].items()


def test_prefect_understands_each_setting(tmp_path: Path) -> None:
    environment = {**RETENTION, "PREFECT_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    enabled, (runs_s, events_s, heartbeats_s) = json.loads(done.stdout.splitlines()[-1])
    assert enabled == ["events", "flow_runs", "orphans"]
    assert timedelta(seconds=runs_s) == timedelta(days=RUNS_KEPT_DAYS)
    assert timedelta(seconds=events_s) == timedelta(days=EVENTS_KEPT_DAYS)
    assert timedelta(seconds=heartbeats_s) == timedelta(days=1)


def test_nothing_goes_while_a_watcher_may_still_ask_for_it() -> None:
    assert min(KEPT, timedelta(days=RUNS_KEPT_DAYS)) > LOOKS_BACK


def test_the_document_tells_the_times() -> None:
    text = (ROOT / "docs/service.md").read_text()
    section = text.partition("\n## What grows")[2].partition("\n## ")[0]
    for days in (RUNS_KEPT_DAYS, EVENTS_KEPT_DAYS, KEPT.days):
        assert f"| {days} days" in section
