"""The settings of Prefect's server: known to Prefect, and the same wherever a server runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")
pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_service.deploy.server_settings import SERVER_SETTINGS  # noqa: E402

INFRA = Path(__file__).parents[2] / "infra"
# Prefect names the variables by the path of each setting; an unknown one it ignores silently.
READ = """
import json, os, sys
from prefect.settings import Settings
def defaults(names):
    for name in names: os.environ.pop(name, None)
    return Settings().to_environment_variables(exclude_unset=False, include_secrets=True)
given = json.loads(sys.argv[1])
before = defaults(given)
os.environ.update(given)
after = Settings().to_environment_variables(exclude_unset=False, include_secrets=True)
print(json.dumps([name for name in given if before.get(name) == after.get(name)]))
"""


def differences(found: dict[str, str]) -> list[str]:
    """The server's settings that `found` lacks or has otherwise."""
    return [name for name, value in SERVER_SETTINGS.items() if found.get(name) != value]


def test_compose_and_kubernetes_set_the_server_up_as_the_local_stack_does() -> None:
    compose = yaml.safe_load((INFRA / "compose/compose.yaml").read_text())["services"]
    for part in ("prefect-server", "prefect-services", "migrate"):
        assert differences(compose[part]["environment"]) == []
    maps = {
        each["metadata"]["name"]: each["data"]
        for each in yaml.safe_load_all((INFRA / "k8s/base/config.yaml").read_text())
    }
    assert differences(maps["lipsync-server"]) == []


def test_the_comparison_fails_when_one_setting_differs() -> None:
    name = next(iter(SERVER_SETTINGS))
    assert differences({**SERVER_SETTINGS, name: "another"}) == [name]


def unchanged_by(given: dict[str, str]) -> list[str]:
    """The variables that change no setting of Prefect's."""
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(given)], capture_output=True, text=True, check=True, timeout=120
    )
    return list(json.loads(done.stdout))


def test_each_variable_changes_a_setting_of_prefects_server() -> None:
    # These say what is Prefect's default today.
    defaults = ["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"]
    assert unchanged_by(dict(SERVER_SETTINGS)) == defaults


def test_a_variable_fails_when_prefect_does_not_know_it() -> None:
    assert unchanged_by({"PREFECT_SERVER_SERVICES_FOREMEN_LOOP_SECONDS": "30"}) != []
