"""What runs the networks, and with which numbers: a property of the machine, the same for all of its jobs.

Nothing here imports ONNX Runtime; `providers` decides what `auto` means, when the first network is opened.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from lipsync_core.choices import require_choice
from lipsync_core.errors import OptionError

#: What a user may ask for. `auto` takes cuda where it works, and the CPU elsewhere. It never takes tensorrt, which
#: compiles every network for minutes when it opens it.
Providers = Literal["auto", "cpu", "cuda", "tensorrt"]
Precision = Literal["fp32", "fp16"]
#: What can run a network, once that is decided.
Provider = Literal["cpu", "cuda", "tensorrt"]
#: The same with the precision, as a network is opened.
OpeningProvider = Literal["cpu", "cuda", "tensorrt", "tensorrt-fp16"]


@dataclass(frozen=True, slots=True)
class Execution:
    """What runs the networks of this machine's jobs in ONNX Runtime.

    Raises:
        OptionError: no such provider or precision, or they do not go together.
    """

    providers: Providers = "auto"
    precision: Precision = "fp32"  # of the networks' numbers; fp16 with tensorrt, which converts the networks itself

    def __post_init__(self) -> None:
        require_choice("providers", self.providers, get_args(Providers))
        require_choice("precision", self.precision, get_args(Precision))
        if self.precision == "fp16" and self.providers != "tensorrt":
            raise OptionError(f"precision fp16 does not go with providers {self.providers}", "choose tensorrt, or fp32")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """Which provider was asked for, which one runs the networks, and why."""

    requested: Providers
    chosen: Provider | None  # None where nothing of the job runs in ONNX Runtime
    reason: str
    precision: Precision

    @property
    def opening(self) -> OpeningProvider:
        """What a network is opened with; the CPU where nothing was chosen."""
        return "tensorrt-fp16" if self.precision == "fp16" else self.chosen or "cpu"
