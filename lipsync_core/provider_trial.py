"""The trial of a provider: a small network, run by it alone, whose placement and result are checked."""

import numpy as np

from lipsync_core.errors import ModelError
from lipsync_core.execution import LocalProvider
from lipsync_core.onnx_messages import held_log
from lipsync_core.onnx_session import run_alone
from lipsync_core.trial_network import INPUT, trial_input, trial_network, trial_result


def try_provider(provider: LocalProvider) -> None:
    """Run the trial network on `provider` alone.

    Raises:
        OptionError: this ONNX Runtime does not have the provider, or it does not start, or it leaves work to the CPU.
        ModelError: the run fails, or its result is wrong.
    """
    with held_log():
        result = run_alone(trial_network(), provider, {INPUT: trial_input()})[0]
    if not np.array_equal(result, trial_result()):
        raise ModelError(f"the {provider} provider ran a trial network, but its result is wrong")
