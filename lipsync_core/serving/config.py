"""The files of a model in a Triton server beside its network: its configuration, and the body of a canary request."""

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from lipsync_core.errors import ModelError
from lipsync_core.network import TensorSpec
from lipsync_core.serving.extra import IMPORT_FAULTS, not_installed
from lipsync_core.serving.identity import ServedIdentity

try:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as schema
except IMPORT_FAULTS as exc:
    raise not_installed(exc) from exc

#: What the server runs the networks on.
Device = Literal["cpu", "cuda", "tensorrt"]
#: The most rows of a batch. Wav2Lip takes 11 MB a row.
MAX_BATCH = 64
#: How long the server waits for more requests to fill a batch.
_BATCH_DELAY_US = 5000
#: Requests that wait at most; 16 runs have one each. A further one is refused, and its caller tries again.
_QUEUE_SIZE = 16
_QUEUE_LIMIT_US = 60_000_000
#: The folder, in the server's container, of the engines that TensorRT compiles, for minutes, once for a GPU and model.
ENGINES = "/var/cache/lipsync-engines"
#: Rows of the batches that are run before the server is ready: TensorRT's engine then fits all between them.
_WARM_UP_ROWS = (1, 8, MAX_BATCH)
#: The side of the pictures of a warm-up and of a canary whose size is free: that of SCRFD's first try. TensorRT would
#: compile another size anew.
_FREE_PX = 320
_TYPES: Mapping[str, str] = MappingProxyType({"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"})


def precision_on(device: Device) -> Literal["fp32", "fp16"]:
    """The precision of the numbers on `device`: fp16 with TensorRT, which converts the networks itself."""
    return "fp16" if device == "tensorrt" else "fp32"


def config_text(
    identity: ServedIdentity, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], device: Device
) -> str:
    """The text of config.pbtxt for an ONNX file with these inputs and outputs.

    A model whose inputs and outputs all have a free first axis gets batches. Any other takes one request at a time: the
    picture of one frame. The queue of either is bounded.

    Raises:
        ModelError: it has numbers of a type that is not known here.
    """
    config: Any = schema.ModelConfig(name=identity.model, backend="onnxruntime")
    is_batched = _is_batched(inputs, outputs)
    for declared, specs in ((config.input, inputs), (config.output, outputs)):
        for spec in specs:
            declared.add(name=spec.name, data_type=_data_type(spec), dims=_dims(spec, is_batched))
    config.instance_group.add(kind="KIND_CPU" if device == "cpu" else "KIND_GPU", count=1)
    for key, value in identity.parameters.items():
        config.parameters[key].string_value = value
    if is_batched:
        config.max_batch_size = MAX_BATCH
        config.dynamic_batching.max_queue_delay_microseconds = _BATCH_DELAY_US
    _bound_queue(config.dynamic_batching.default_queue_policy)
    if device == "tensorrt":
        _use_tensorrt(config, identity)
    if device != "cpu":
        for rows in _WARM_UP_ROWS if is_batched else (0,):
            _warm_up(config, inputs, rows)
    text: str = text_format.MessageToString(config)
    return text


def canary_body(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """A request to the same model over HTTP, on zeros, as JSON; its answer holds the outputs as bytes.

    The form is that of the KServe protocol, version 2, with Triton's extension for binary data.

    Raises:
        ModelError: the model has numbers of a type that is not known here.
    """
    tensors = []
    for spec in inputs:
        shape = canary_shape(spec, _is_batched(inputs, outputs))
        datatype = _data_type(spec).removeprefix("TYPE_")
        tensors.append({"name": spec.name, "shape": shape, "datatype": datatype, "data": [0] * math.prod(shape)})
    wanted = [{"name": spec.name, "parameters": {"binary_data": True}} for spec in outputs]
    return json.dumps({"inputs": tensors, "outputs": wanted}, separators=(",", ":"))


def canary_shape(spec: TensorSpec, is_batched: bool) -> tuple[int, ...]:
    """The shape of an input for a canary, one inference that proves that a model runs: one row, one small picture."""
    sizes = tuple(_FREE_PX if size is None else size for size in spec.shape)
    return (1, *sizes[1:]) if is_batched else sizes


def _is_batched(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    return all(spec.shape and spec.shape[0] is None for spec in (*inputs, *outputs))


def _bound_queue(policy: Any) -> None:
    policy.timeout_action = schema.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = _QUEUE_LIMIT_US
    policy.allow_timeout_override = True
    policy.max_queue_size = _QUEUE_SIZE


def _use_tensorrt(config: Any, identity: ServedIdentity) -> None:
    """TensorRT's provider of ONNX Runtime, with its engines kept; what it cannot run falls to CUDA's."""
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = identity.precision.upper()
    accelerator.parameters["trt_engine_cache_enable"] = "true"
    accelerator.parameters["trt_engine_cache_path"] = f"{ENGINES}/{identity.model}"


def _warm_up(config: Any, inputs: Sequence[TensorSpec], rows: int) -> None:
    """Zeros in batches of `rows`; 0 for a model without batches."""
    sample = config.model_warmup.add(name=f"{rows} rows" if rows else "one picture", batch_size=rows)
    for spec in inputs:
        sizes = [_FREE_PX if size < 0 else size for size in _dims(spec, is_batched=rows > 0)]
        tensor = sample.inputs[spec.name]
        tensor.data_type = schema.DataType.Value(_data_type(spec))
        tensor.dims.extend(sizes)
        tensor.zero_data = True


def _dims(spec: TensorSpec, is_batched: bool) -> list[int]:
    return [-1 if size is None else size for size in spec.shape[1 if is_batched else 0 :]]


def _data_type(spec: TensorSpec) -> str:
    if spec.dtype not in _TYPES:
        raise ModelError(f"{spec.name} is {spec.dtype}, and only {' and '.join(_TYPES)} can be served")
    return _TYPES[spec.dtype]
