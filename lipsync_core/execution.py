"""How a machine does a job: provider and precision of networks, decoder, processes. It is the same for all its jobs.

Nothing here imports ONNX Runtime; `providers` decides what `auto` means, when the first network is opened.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from lipsync_core.choices import require_choice
from lipsync_core.errors import OptionError
from lipsync_core.server_address import host_and_port

#: The providers that a user may ask for. `auto` takes cuda where it works, and the CPU elsewhere. It never takes
#: tensorrt, which compiles every network for minutes when it opens it.
Providers = Literal["auto", "cpu", "cuda", "tensorrt"]
Precision = Literal["fp32", "fp16"]
#: The providers that can run a network of this process.
LocalProvider = Literal["cpu", "cuda", "tensorrt"]
#: What can run a network; `server` is a model server, whatever that runs on.
Provider = Literal["cpu", "cuda", "tensorrt", "server"]
#: What may decode videos: the CPU, or NVDEC too, where it works.
Decoding = Literal["cpu", "auto"]
#: What can decode a video.
Decoder = Literal["cpu", "nvdec"]
#: A provider with its precision, as a network is opened.
OpeningProvider = Literal["cpu", "cuda", "tensorrt", "tensorrt-fp16"]


@dataclass(frozen=True, slots=True)
class Execution:
    """The requested provider and precision of this machine's networks in ONNX Runtime, its decoder and processes.

    Raises:
        OptionError: no such provider, precision or decoder, or they do not go together, or the address has another
            form, or the wait is not above 0, or there are no jobs.
    """

    providers: Providers = "auto"
    precision: Precision = "fp32"  # of the networks' numbers; fp16 with tensorrt, which converts the networks itself
    decoder: Decoding = "cpu"
    #: grpc://HOST:PORT of the model server that runs the networks, in `precision`; None: they run in this process.
    model_server: str | None = None
    #: How long a request to a server that is down or full is sent again; None: as `serving.patience.Patience` says.
    model_server_wait_s: float | None = None
    #: How many copies of this process render segments of a movie side by side, where `segment_jobs` finds that
    #: possible. None: as many as the machine is good for. 1: this process renders it as a whole.
    jobs: int | None = None

    def __post_init__(self) -> None:
        require_choice("providers", self.providers, get_args(Providers))
        require_choice("precision", self.precision, get_args(Precision))
        require_choice("decoder", self.decoder, get_args(Decoding))
        if self.jobs is not None and self.jobs < 1:
            raise OptionError(f"jobs is {self.jobs}", "choose 1 or more")
        if self.model_server is not None:
            host_and_port(self.model_server)
            if self.model_server_wait_s is not None and not self.model_server_wait_s > 0:
                raise OptionError(f"model-server-wait is {self.model_server_wait_s:g}", "choose a number above 0")
        elif self.precision == "fp16" and self.providers != "tensorrt":
            raise OptionError(f"precision fp16 does not go with providers {self.providers}", "choose tensorrt, or fp32")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """The requested provider, the one that runs the networks, and the reason."""

    requested: Providers
    chosen: Provider | None  # None where no network of the job runs in ONNX Runtime or a model server
    reason: str
    precision: Precision

    @property
    def opening(self) -> OpeningProvider:
        """The provider and precision to open a network with; the CPU where none was chosen."""
        if self.precision == "fp16":
            return "tensorrt-fp16"
        return "cpu" if self.chosen is None or self.chosen == "server" else self.chosen
