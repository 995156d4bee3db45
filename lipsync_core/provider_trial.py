"""The trial of a provider: a small network, run by it alone, whose placement and result are checked."""

import re

import numpy as np

from lipsync_core.errors import LipSyncError, ModelError
from lipsync_core.execution import Provider
from lipsync_core.native_stderr import held_stderr
from lipsync_core.onnx_session import run_alone
from lipsync_core.trial_network import INPUT, trial_input, trial_network, trial_result

#: How ONNX Runtime's own log writes a line: time, severity, logger and line of its source, then the message.
_LOGGED = re.compile(r"\[(?P<severity>[A-Z]):onnxruntime:[^\]]*\] (?P<message>[^\x1b\n]*)")
_CAUSE = " : FAIL : "  # the system's own message follows


def try_provider(provider: Provider) -> None:
    """Run the trial network on `provider` alone.

    Raises:
        ModelError: the provider does not work; the message says why.
    """
    with held_stderr(lambda line: _LOGGED.search(line) is not None) as logged:
        fault = _fault(provider)
    if fault:
        raise ModelError(_cause(logged) or fault)


def _fault(provider: Provider) -> str:
    """The fault of the provider; empty where it works."""
    try:
        result = run_alone(trial_network(), provider, {INPUT: trial_input()})[0]
    except LipSyncError as exc:
        return exc.message
    return "" if np.array_equal(result, trial_result()) else "its result is wrong"


def _cause(logged: list[str]) -> str:
    """The first error that ONNX Runtime logged, such as a missing library; later ones name its consequences."""
    messages = [found["message"] for found in map(_LOGGED.search, logged) if found and found["severity"] == "E"]
    return messages[0].rpartition(_CAUSE)[2].strip() if messages else ""
