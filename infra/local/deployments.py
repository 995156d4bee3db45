"""Registers the deployments of prefect.yaml, unless Prefect holds those of this very code."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectNotFound

from infra.local.process import StackError
from lipsync_service.names import DEPLOYMENTS

_LIMIT_S = 300.0
_MANIFEST = "prefect.yaml"
#: Where the parameters of the flows are described, and what else a deployment states.
_SOURCES = ("flows", "lipsync_service", "lipsync_core")
#: The variable at Prefect that names the code of its deployments: gone with its database, as they are.
_VARIABLE = "lipsync_deployed"


def register_deployments(client: SyncPrefectClient, source: Path, environment: Mapping[str, str], log: Path) -> None:
    """Register what `source` deploys; a failure's output goes to `log`.

    A user's change to a deployment stays until the code changes; one that was removed comes back.

    Raises:
        StackError: they are not registered.
    """
    wanted = digest_of(source)
    if _present(client) == wanted and all(_is_there(client, name) for name in DEPLOYMENTS):
        return
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(  # noqa: S603 - the stack's own command
        command,
        cwd=source,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
    if done.returncode:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        raise StackError("the deployments are not registered", f"see {log}")
    _keep(client, wanted)


def digest_of(source: Path) -> str:
    """Changes with all that a deployment is made of: the manifest, the code's place and content, and Prefect."""
    found = hashlib.sha256(f"{prefect.__version__} {source}".encode())
    for path in (source / _MANIFEST, *sorted(_modules(source))):
        found.update(f"{path.relative_to(source)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _modules(source: Path) -> Iterator[Path]:
    for folder in _SOURCES:
        yield from (source / folder).rglob("*.py")


def _present(client: SyncPrefectClient) -> str | None:
    variable = client.read_variable_by_name(_VARIABLE)
    return None if variable is None else str(variable.value)


def _is_there(client: SyncPrefectClient, name: str) -> bool:
    try:
        client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False
    return True


def _keep(client: SyncPrefectClient, digest: str) -> None:
    if _present(client) is None:
        client.create_variable(VariableCreate(name=_VARIABLE, value=digest))
    else:
        client.update_variable(VariableUpdate(name=_VARIABLE, value=digest))
