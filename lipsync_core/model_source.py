"""Where the network of a model comes from: a checked file of this machine, or a model server that holds the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_core.errors import ModelCorruptError, ModelMissingError
from lipsync_core.execution import Execution
from lipsync_core.models.registry import NETWORK, ModelEntry
from lipsync_core.models.store import ModelStore, pull_command
from lipsync_core.network import Network
from lipsync_core.serving.identity import SERVABLE, SERVED_VERSION, ServedIdentity
from lipsync_core.serving.patience import Patience

if TYPE_CHECKING:
    from lipsync_core.serving.client import ServedModel


@dataclass(frozen=True, slots=True)
class UsableModel:
    """A model that may be used: its licence needs no acceptance, or is accepted on this machine."""

    name: str
    licence: str
    weights_sha256: str  # of the file from which the network was imported
    network: Path | Network  # a file, or an open network of a server


def usable_model(name: str, models: ModelStore, execution: Execution | None = None) -> UsableModel:
    """The model, checked: of the server that `execution` names, or installed here.

    A server needs no file here. It must hold the weights that are installed here, or else the registered ones.

    Raises:
        ModelMissingError: the model is not installed, or not served.
        ModelCorruptError: its file here is not what was installed.
        ModelMismatchError: the server holds another model, other weights or another precision.
        LicenceError: its licence has not been accepted on this machine.
        ModelError: there is no model of that name.
        OptionError: the client of the server is not installed.
        TransientError: the server does not answer.
    """
    if execution is not None and execution.model_server is not None:
        return _served(name, models, execution)[0]
    installed = models.open_usable(name)
    entry = models.entry(name)
    path = installed.path(NETWORK if entry.imported_by else entry.members[0].name)
    return UsableModel(name, entry.licence, installed.source_sha256 or entry.sums[0], path)


def check_server(models: ModelStore, execution: Execution, patience: Patience | None = None) -> tuple[str, ...]:
    """Run a canary through every model of the server that the registry knows; their names.

    A model whose licence is not accepted here is passed over: no job of this machine may use it.

    Raises:
        ModelMissingError: it serves none of them.
        ModelError, TransientError: as `usable_model`, and where a canary fails.
    """
    from lipsync_core.serving.client import served_names

    address = execution.model_server or ""
    usable = [name for name in SERVABLE if models.licences.is_usable(models.entry(name))]
    names = tuple(name for name in served_names(address, patience) if name in usable)
    if not names:
        raise ModelMissingError(
            f"the model server {address} serves no model that may be used here",
            "make its folder with lipsync models export-repository DIR, and accept the licences on this machine",
        )
    for name in names:
        _, served = _served(name, models, execution, patience)
        served.check()
        served.close()
    return names


def _served(
    name: str, models: ModelStore, execution: Execution, patience: Patience | None = None
) -> "tuple[UsableModel, ServedModel]":
    from lipsync_core.serving.client import ServedModel

    entry = models.entry(name)
    models.licences.require(entry, pull_command(entry))
    sha256 = _expected_sha256(entry, models)
    expected = ServedIdentity(name, SERVED_VERSION, entry.licence, sha256, precision=execution.precision)
    served = ServedModel(execution.model_server or "", name, expected, patience or _patience(execution))
    return UsableModel(name, entry.licence, sha256, served), served


def _patience(execution: Execution) -> Patience:
    wait_s = execution.model_server_wait_s
    return Patience() if wait_s is None else Patience(down_s=wait_s, full_s=wait_s)


def _expected_sha256(entry: ModelEntry, models: ModelStore) -> str:
    """Of the weights that are installed here, which may be the user's own; else of the registered ones."""
    try:
        return models.verify(entry.name).source_sha256 or entry.sums[0]
    except (ModelMissingError, ModelCorruptError):
        return entry.sums[0]
