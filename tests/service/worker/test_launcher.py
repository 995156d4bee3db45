"""The launcher before a fork: it has Prefect's settings of the run, and reads them only where they differ."""

import subprocess
import sys

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

SETTINGS = """
import os, socket
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES
from lipsync_service.worker import launcher

reads = []
refresh = launcher.refresh_global_settings_context
launcher.refresh_global_settings_context = lambda: (reads.append(1), refresh())
process = launcher.Launcher(socket.socket(socket.AF_UNIX))
a = {"PREFECT_API_URL": "http://a/api", "PREFECT_CLIENT_MAX_RETRIES": "6", "HOME": "."}
b = {"PREFECT_API_URL": "http://b/api"}
broken = {"PREFECT_CLIENT_MAX_RETRIES": "many"}
for environment in (a, {**a, "PREFECT__FLOW_RUN_ID": "1", "HOME": "/"}, b, broken, b):
    taken = process._take_settings(environment)
    print(taken, taken and PREFECT_API_URL.value(), taken and PREFECT_CLIENT_MAX_RETRIES.value(), len(reads))
print("PREFECT__FLOW_RUN_ID" in os.environ)
"""


def test_the_settings_are_those_of_the_run_and_are_read_again_only_where_they_differ() -> None:
    done = subprocess.run([sys.executable, "-c", SETTINGS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True http://a/api 6 1",
        "True http://a/api 6 1",  # the same worker's next run
        "True http://b/api 5 2",  # another worker's: a variable that is gone has its default
        "False False False 3",  # the run itself says what is wrong
        "True http://b/api 5 4",
        "False",
    ]


BUILT = """
from pydantic import BaseModel
from lipsync_service.worker import engine, launcher
print(all(model.__pydantic_complete__ for model in engine._EVERY_RUNS_MODELS))
launcher._preload()
print(all(model.__pydantic_complete__ for model in engine._EVERY_RUNS_MODELS))
"""


def test_the_forks_find_the_models_of_every_run_built() -> None:
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BUILT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["False", "True"]
