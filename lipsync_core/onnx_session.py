"""Networks in ONNX Runtime: opened in one way for all models, its errors translated in one place."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from numpy.typing import NDArray

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError, OptionError

try:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
except ImportError as exc:
    raise ModelError(
        f"ONNX Runtime, which runs this model, cannot be imported: {exc}",
        "run: pip install 'lipsync[neural]' (on a machine with a GPU: 'lipsync[gpu]')",
    ) from exc

#: What runs a network; TensorRT can also convert it to numbers of 16 bits while it opens.
Provider = Literal["cpu", "cuda", "tensorrt", "tensorrt-fp16"]

_logger = logging.getLogger(__name__)

#: ONNX Runtime's names, the wanted provider first; what it cannot run falls through to the next.
_CHAINS: Mapping[Provider, tuple[str, ...]] = MappingProxyType(
    {
        "cpu": ("CPUExecutionProvider",),
        "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
        "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
        "tensorrt-fp16": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    }
)
_SILENT = 4  # log level "fatal": everything less also comes as an exception
_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from \S+ failed:)?")
_UNREADABLE = (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.NoModel)
_FAILED = (
    ort_errors.Fail,
    ort_errors.EPFail,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    shape: tuple[int | None, ...]  # None where any size will do
    dtype: str  # as ONNX Runtime writes it, such as "tensor(float)"


class OnnxModel:
    """A network ready to run. Open each file once in a process: all threads may call `run` at the same time."""

    def __init__(self, path: Path, provider: Provider = "cpu", threads: int | None = None) -> None:
        """Load the network at `path`; `threads` is how many work on one run, by default one per usable core.

        Raises:
            OptionError: this ONNX Runtime does not have the provider, or the provider does not start.
            ModelMissingError: no such file.
            ModelCorruptError: the file is not an ONNX model.
            ModelError: the model is one that this ONNX Runtime cannot run.
        """
        if not path.is_file():
            raise ModelMissingError(f"there is no model file {path}")
        self.path = path
        self._session = _open(path, provider, threads or _usable_cores())
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        _logger.debug("opened %s with %s", path, self._session.get_providers())

    def __repr__(self) -> str:
        return f"OnnxModel({self.path.name}, {len(self.inputs)} inputs, {len(self.outputs)} outputs)"

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file's maker wrote about it."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs, in order, for arrays by input name.

        Raises:
            ModelError: shapes or types do not fit the model, or memory ran out.
        """
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(feeds))
        except (*_UNREADABLE, *_FAILED) as exc:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            raise ModelError(f"{self.path} fails on {shapes}: {_reason(exc)}") from exc
        return outputs


def _open(path: Path, provider: Provider, threads: int) -> ort.InferenceSession:
    chain = _CHAINS[provider]
    if chain[0] not in ort.get_available_providers():
        raise OptionError(f"this ONNX Runtime has no {provider} provider", "install onnxruntime-gpu, or choose cpu")
    settings: list[dict[str, bool]] = [{} for _ in chain]
    if provider == "tensorrt-fp16":
        settings[0]["trt_fp16_enable"] = True
    try:
        session = ort.InferenceSession(os.fspath(path), _session_options(threads), list(chain), settings)
    except (*_UNREADABLE, ort_errors.InvalidArgument) as exc:
        raise ModelCorruptError(f"{path} is not an ONNX model: {_reason(exc)}") from exc
    except _FAILED as exc:
        raise ModelError(f"ONNX Runtime {ort.__version__} cannot open {path}: {_reason(exc)}") from exc
    if session.get_providers()[0] != chain[0]:  # ONNX Runtime only logs it when a provider's libraries are missing
        raise OptionError(f"the {provider} provider does not start", "check its driver and libraries, or choose cpu")
    return session


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
    """What ONNX Runtime says, on one line and without its own name, number and code in front."""
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return _CODE.sub("", lines[0])
