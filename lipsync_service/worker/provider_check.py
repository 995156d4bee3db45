"""Tries the provider of the settings on this host: `python -m lipsync_service.worker.provider_check`.

It ends with status 1 and one line if LIPSYNC_PROVIDERS names a provider that does not work here. It is a separate
process because the trial may create a GPU context, and a process that forks jobs must not have one.
"""

import logging
import sys

from lipsync_core.errors import LipSyncError
from lipsync_core.execution import Execution
from lipsync_core.model_source import check_server
from lipsync_core.models import ModelStore
from lipsync_core.providers import choose_provider
from lipsync_core.workspace import Workspace
from lipsync_service.settings import load_settings


def check_provider(execution: Execution) -> str:
    """Run a trial network on the provider of `execution`; returns a line that names the provider and the reason.

    Where `execution` names a model server, each of its models is tried instead: this host needs no provider.

    Raises:
        OptionError: ONNX Runtime does not offer the provider, or it does not start, or it leaves work to the CPU.
        ModelError: a run on it fails, or ONNX Runtime cannot be imported, or the server's models are not this host's.
        TransientError: the server does not answer.
    """
    choice = choose_provider(execution)
    if choice.chosen == "server":
        names = check_server(ModelStore(Workspace.default().models), execution)
        return f"{' and '.join(names)} answer at {execution.model_server} ({choice.precision})"
    if choice.chosen is not None and execution.providers != "auto":  # auto has run the trial already
        from lipsync_core.provider_trial import (
            try_provider,
        )  # brings ONNX Runtime

        try_provider(choice.chosen)
    return f"networks run on {choice.chosen} ({choice.precision}, providers {choice.requested}): {choice.reason}"


def main() -> str | None:
    """Check the provider of the settings; the failure in one line, None if it works."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        sys.stdout.write(check_provider(load_settings().execution) + "\n")
    except LipSyncError as exc:
        return f"lipsync: error {exc.code}: {exc}"
    return None


if __name__ == "__main__":
    sys.exit(main())
