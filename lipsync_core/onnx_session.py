"""Networks in ONNX Runtime: opened in one way for all models, its errors translated in one place.

ONNX Runtime falls back to the CPU without a word in three ways: it only logs that a provider's libraries are missing,
it gives the nodes that a provider cannot run to the next one, and its Python wrapper opens a failed session again on
the CPU. Here each is an error.
"""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError, OptionError
from lipsync_core.execution import LocalProvider, OpeningProvider
from lipsync_core.network import TensorSpec
from lipsync_core.onnx_messages import first_cause, held_log, plain

try:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
except ImportError as exc:
    raise ModelError(
        f"ONNX Runtime, which runs this model, cannot be imported: {exc}",
        "run: pip install 'lipsync[neural]' (on a machine with a GPU: 'lipsync[gpu]')",
    ) from exc

_logger = logging.getLogger(__name__)

_PROVIDERS: Mapping[str, LocalProvider] = MappingProxyType(
    {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}
)
#: ONNX Runtime's names, the wanted provider first. Nodes that it cannot run fall through to the next.
_CHAINS: Mapping[OpeningProvider, tuple[str, ...]] = MappingProxyType(
    {
        "cpu": ("CPUExecutionProvider",),
        "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
        "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
        "tensorrt-fp16": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    }
)
#: Operators that multiply by weights: nearly all of a network's work. They may not be left to the CPU. ONNX Runtime
#: keeps others there on purpose, those that compute shapes.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_SILENT = 4  # log level "fatal": everything less also comes as an exception
#: In the message of a session that may leave nothing to the CPU, and would have to.
_CPU_REFUSED = "fallback to CPU EP has been explicitly disabled"
_UNREADABLE = (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.NoModel)
_FAILED = (
    ort_errors.Fail,
    ort_errors.EPFail,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class OnnxModel:
    """A network in this process: implements `network.Network`. Open each file once, and let all threads share it."""

    def __init__(self, path: Path, provider: OpeningProvider = "cpu", threads: int | None = None) -> None:
        """Load the network at `path`; `threads` is how many work on one run, by default one per usable core.

        Raises:
            OptionError: this ONNX Runtime does not have the provider, or the provider does not start, or it leaves
                this network's work to the CPU.
            ModelMissingError: no such file.
            ModelCorruptError: the file is not an ONNX model.
            ModelError: the model is one that this ONNX Runtime cannot run.
        """
        if not path.is_file():
            raise ModelMissingError(f"there is no model file {path}")
        self.path = path
        self._session = _open(
            os.fspath(path), provider, _CHAINS[provider], _session_options(threads or _usable_cores())
        )
        #: The provider of the network, as the session reports it.
        self.provider = _working_provider(self._session, path.name)
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        _logger.debug("opened %s with %s", path, self._session.get_providers())

    def __repr__(self) -> str:
        return f"OnnxModel({self.path.name}, {len(self.inputs)} inputs, {len(self.outputs)} outputs)"

    @property
    def label(self) -> str:
        """Its file."""
        return str(self.path)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata in the file."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs, or all of them in order, for arrays by input name.

        Raises:
            ModelError: shapes or types do not fit the model, or memory ran out, or the provider failed.
        """
        return _run(self._session, feeds, str(self.path), outputs)


def offered_providers() -> tuple[LocalProvider, ...]:
    """The providers that this ONNX Runtime was built with. They need not work on this machine."""
    return tuple(_PROVIDERS[name] for name in ort.get_available_providers() if name in _PROVIDERS)


def run_alone(network: bytes, provider: LocalProvider, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """All outputs of a small network that `provider` runs whole and by itself.

    Raises:
        OptionError: this ONNX Runtime does not have the provider, or it does not start, or it cannot run the network.
        ModelError: it fails.
    """
    options = _session_options(threads=1)
    if provider != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = _open(network, provider, _CHAINS[provider][:1], options)
    _working_provider(session, "the trial network")
    return _run(session, feeds, "the trial network")


def _run(
    session: ort.InferenceSession,
    feeds: Mapping[str, NDArray[Any]],
    name: str,
    outputs: Sequence[str] | None = None,
) -> list[NDArray[Any]]:
    try:
        arrays: list[NDArray[Any]] = session.run(list(outputs) if outputs else None, dict(feeds))
    except (*_UNREADABLE, *_FAILED) as exc:
        shapes = ", ".join(f"{key} {array.shape}" for key, array in feeds.items())
        raise ModelError(f"{name} fails on {shapes}: {_reason(exc)}") from exc
    return arrays


def _open(
    model: str | bytes, provider: OpeningProvider, chain: tuple[str, ...], options: ort.SessionOptions
) -> ort.InferenceSession:
    first = _PROVIDERS[chain[0]]
    if chain[0] not in ort.get_available_providers():
        raise OptionError(f"this ONNX Runtime has no {first} provider", "install onnxruntime-gpu, or choose cpu")
    settings: list[dict[str, bool]] = [{} for _ in chain]
    if provider == "tensorrt-fp16":
        settings[0]["trt_fp16_enable"] = True
    if first == "cpu":
        return _session(model, first, chain, settings, options)
    with held_log() as logged:
        session = _session(model, first, chain, settings, options)
    if session.get_providers()[0] != chain[0]:  # ONNX Runtime only logs it when a provider's libraries are missing
        raise _not_starting(first, first_cause(logged))
    return session


def _session(
    model: str | bytes,
    provider: LocalProvider,
    chain: tuple[str, ...],
    settings: list[dict[str, bool]],
    options: ort.SessionOptions,
) -> ort.InferenceSession:
    """A session of the real ONNX Runtime, whose errors are translated."""
    name = model if isinstance(model, str) else "the trial network"
    try:
        session = ort.InferenceSession(model, options, list(chain), settings, enable_fallback=0)
    except (*_UNREADABLE, ort_errors.InvalidArgument) as exc:
        raise ModelCorruptError(f"{name} is not an ONNX model: {_reason(exc)}") from exc
    except _FAILED as exc:
        if _CPU_REFUSED in str(exc):
            raise _leaving(provider, "nodes to the CPU", name) from exc
        raise ModelError(f"ONNX Runtime {ort.__version__} cannot open {name}: {_reason(exc)}") from exc
    except (RuntimeError, ValueError) as exc:  # raised by a provider that finds no device
        raise _not_starting(provider, _reason(exc)) from exc
    session.disable_fallback()  # of `run`, for an ONNX Runtime that does not know the argument
    return session


def _not_starting(provider: LocalProvider, cause: str) -> OptionError:
    fault = f"the {provider} provider does not start" + (f": {cause}" if cause else "")
    return OptionError(fault, "check its driver and libraries, or choose cpu")


def _leaving(provider: LocalProvider, share: str, name: str) -> OptionError:
    return OptionError(f"the {provider} provider leaves {share} in {name}", "choose cpu, or another model")


def _working_provider(session: ort.InferenceSession, name: str) -> LocalProvider:
    """The provider that runs most of the network's work.

    Raises:
        OptionError: some of that work is left to the CPU, though another provider was asked for.
    """
    first = _PROVIDERS[session.get_providers()[0]]
    if first == "cpu" or not hasattr(session, "get_provider_graph_assignment_info"):  # it came with 1.24
        return first
    nodes = [
        (subgraph.ep_name, node.op_type)
        for subgraph in session.get_provider_graph_assignment_info()
        for node in subgraph.get_nodes()
    ]
    working = [node for node in nodes if node[1] in _WEIGHTED] or nodes
    counts = Counter(_PROVIDERS.get(provider) for provider, _ in working)
    if counts["cpu"]:
        left = ", ".join(sorted({operator for provider, operator in working if _PROVIDERS.get(provider) == "cpu"}))
        share = f"{counts['cpu']} of {len(working)} nodes to the CPU ({left})"
        raise _leaving(first, share, name)
    most = counts.most_common(1)
    return most[0][0] or first if most else first


def _session_options(threads: int) -> ort.SessionOptions:
    """Little memory rather than the last percent of speed.

    Measured with Wav2Lip at batch 4: an arena, or planning memory by pattern, adds 45 to 70 MB and gains nothing.
    """
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    # Idle threads that spin would take CPU time from the encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # see _working_provider
    return options


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _spec(node: ort.NodeArg) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, node.type)


def _reason(exc: Exception) -> str:
    """ONNX Runtime's message on one line."""
    return plain(str(exc)) or type(exc).__name__
