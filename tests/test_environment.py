"""Environment variables are read in few places, each with a reason, and every one of them is known and documented."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import ROOT, product_modules, tracked_files

#: The modules that use the environment, and the reason.
READERS = {
    "lipsync_service/limit_settings.py": "the settings of the service, by pydantic: the base of Settings",
    "lipsync_service/worker/launch.py": "runs on the standard library alone, to start in 15 ms",
    "lipsync_service/worker/launcher.py": "takes over Prefect's settings of a run before its fork",
    "lipsync_service/worker/forked_run.py": "a forked run takes over the environment of its command",
    "lipsync_service/worker/engine.py": "a run's flow is named by one variable, its entry point by another",
    "lipsync_service/worker/container.py": "hands its environment to the launcher, and the launcher's address to runs",
    "lipsync_service/worker/pool_worker.py": "sets defaults of Prefect's own variables for its runs",
    "lipsync_cli/environment.py": "the variables of the command",
    "infra/local/__main__.py": "the first port of the local stack",
    "infra/local/stack.py": "hands its environment to the processes of the stack",
}
#: Variables beside the fields of the settings.
OTHERS = {
    "LIPSYNC_LAUNCHER",  # of launch.py
    "LIPSYNC_HOME",  # of the command
    "LIPSYNC_LEDGER",
    "LIPSYNC_SERVICE",
    "LIPSYNC_DEBUG",
    "LIPSYNC_FIRST_PORT",  # of the local stack
    "LIPSYNC_GPU_PROVIDERS",  # of the Compose file itself
}


def uses_of_the_environment(source: str) -> Iterator[int]:
    """The lines that read or change the environment, or have click or pydantic read it."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "pydantic_settings"):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.keyword) and node.arg in ("envvar", "auto_envvar_prefix"):
            names = ["envvar"]
        if {"environ", "environb", "getenv", "getenvb", "putenv", "envvar", "BaseSettings"} & set(names):
            yield node.lineno if not isinstance(node, ast.keyword) else node.value.lineno


@pytest.mark.parametrize(
    "source",
    [
        "import os\nhome = os.environ['HOME']",
        "import os\nhome = os.getenv('HOME')",
        "from os import environ",
        "option = click.option('--home', envvar='HOME')",
        "from pydantic_settings import BaseSettings",
    ],
)
def test_a_use_of_the_environment_is_found(source: str) -> None:
    assert list(uses_of_the_environment(source))


def test_only_the_named_modules_use_the_environment() -> None:
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in product_modules()}
    found = {str(path): list(uses_of_the_environment(source)) for path, source in sources.items()}
    assert {path for path, lines in found.items() if lines} == set(READERS)


def test_every_variable_that_is_named_anywhere_exists() -> None:
    settings = pytest.importorskip("lipsync_service.settings", exc_type=ImportError)
    known = {settings.variable_of(field) for field in settings.Settings.model_fields} | OTHERS
    named: dict[str, Path] = {}
    for path in tracked_files():
        if path.suffix in (".py", ".md", ".yaml", ".Dockerfile", ".example") and path.parts[0] != "tests":
            text = (ROOT / path).read_text(encoding="utf-8")
            named |= dict.fromkeys(re.findall(r"\bLIPSYNC_[A-Z0-9_]*[A-Z0-9]\b(?!_\*)", text), path)
    assert {name: str(path) for name, path in named.items() if name not in known} == {}
    assert set(named) >= OTHERS


def test_every_setting_of_the_service_is_documented() -> None:
    settings = pytest.importorskip("lipsync_service.settings", exc_type=ImportError)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    variables = {settings.variable_of(field) for field in settings.Settings.model_fields}
    assert {name for name in variables if f"`{name}" not in text} == set()
