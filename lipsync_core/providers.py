"""Chooses the provider of this process's networks: the requested one, or the first that passes a trial."""

import logging
from threading import Lock

from lipsync_core.errors import LipSyncError, ModelError
from lipsync_core.execution import Execution, LocalProvider, ProviderChoice

_logger = logging.getLogger(__name__)
#: The candidates of `auto`, in order. TensorRT is not among them: it compiles every network for minutes at opening.
_CANDIDATES: tuple[LocalProvider, ...] = ("cuda", "cpu")
_resolving = Lock()
_resolved: dict[Execution, ProviderChoice] = {}


def choose_provider(execution: Execution) -> ProviderChoice:
    """The provider for every network that this process opens with `execution`; decided once, and logged then.

    `auto` takes the first provider that this ONNX Runtime offers and that runs a small network correctly. The trial
    may start a GPU: call it in the process that infers, not in one that forks.

    Raises:
        ModelError: ONNX Runtime cannot be imported, or no provider works.
    """
    with _resolving:
        choice = _resolved.get(execution)
        if choice is None:
            choice = _resolved[execution] = _choose(execution)
            _logger.info("networks run on %s (providers %s): %s", choice.chosen, choice.requested, choice.reason)
        return choice


def provider_account(execution: Execution, is_used: bool) -> ProviderChoice:
    """The choice for a job that has loaded its parts; `is_used` says whether one of its networks is in ONNX Runtime.

    Another job of this process may have made the choice, so a job without such a network gets none.
    """
    choice = _resolved.get(execution)
    if is_used and choice is not None:
        return choice
    reason = "none of this job's networks runs in ONNX Runtime"
    return ProviderChoice(execution.providers, None, reason, execution.precision)


def _choose(execution: Execution) -> ProviderChoice:
    if execution.model_server is not None:
        reason = f"the model server {execution.model_server} runs them"
        return ProviderChoice(execution.providers, "server", reason, execution.precision)
    if execution.providers != "auto":
        return ProviderChoice(execution.providers, execution.providers, "asked for", execution.precision)
    from lipsync_core.onnx_session import offered_providers  # brings ONNX Runtime, which some jobs do without
    from lipsync_core.provider_trial import try_provider

    offered = offered_providers()
    passed_over: list[str] = []
    for provider in _CANDIDATES:
        if provider not in offered:
            passed_over.append(f"{provider} is not in this ONNX Runtime")
            continue
        try:
            try_provider(provider)
        except LipSyncError as exc:
            passed_over.append(f"{provider} failed its trial: {exc.message}")
        else:
            reason = "; ".join(["it ran a trial network correctly", *passed_over])
            return ProviderChoice("auto", provider, reason, execution.precision)
    raise ModelError(f"no provider of this ONNX Runtime works: {'; '.join(passed_over)}", "install onnxruntime again")
