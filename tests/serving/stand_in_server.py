"""A server that speaks Triton's protocol on 127.0.0.1 and runs a folder of `export-repository` in ONNX Runtime.

It forms no batches. What the real server does is tested with the real one.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from lipsync_core.errors import ModelError
from lipsync_core.onnx_session import OnnxModel


class StandInServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Fails as told: `faults` holds the status and message of each of the next requests; None lets one through."""

    def __init__(self, repository: Path) -> None:
        self.models = {
            folder.name: OnnxModel(folder / "1" / "model.onnx", threads=1)
            for folder in repository.iterdir()
            if folder.is_dir()
        }
        self.configs = {
            name: text_format.Parse((repository / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
            for name in self.models
        }
        self.is_ready = True
        self.faults: list[tuple[grpc.StatusCode, str] | None] = []
        self.batches: list[int] = []  # rows of each request that was answered
        self.asked = 0  # requests, answered or not

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802  Triton's name, as below
        return service_pb2.ServerReadyResponse(ready=self.is_ready)

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.RepositoryIndexResponse(models=[{"name": name, "state": "READY"} for name in self.models])

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        config = self.configs[request.name]
        batch = [-1] if config.max_batch_size else []
        inputs, outputs = (
            [
                {"name": each.name, "datatype": _wire_type(each.data_type), "shape": [*batch, *each.dims]}
                for each in declared
            ]
            for declared in (config.input, config.output)
        )
        return service_pb2.ModelMetadataResponse(name=request.name, inputs=inputs, outputs=outputs)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            context.abort(*fault)
        pairs = zip(request.inputs, request.raw_input_contents, strict=True)
        feeds = {
            tensor.name: np.frombuffer(raw, triton_to_np_dtype(tensor.datatype)).reshape(tensor.shape)
            for tensor, raw in pairs
        }
        limit = self.configs[request.model_name].max_batch_size
        if limit and max(len(array) for array in feeds.values()) > limit:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the batch is larger than max_batch_size")
        names = [output.name for output in request.outputs]
        try:
            arrays = self.models[request.model_name].run(feeds, names)
        except ModelError as exc:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
        self.batches.append(len(arrays[0]))
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, array in zip(names, arrays, strict=True):
            response.outputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


@contextmanager
def serving(server: StandInServer, port: int = 0) -> Iterator[str]:
    """Its address, while it answers."""
    transport = grpc.server(ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(server, transport)
    bound = transport.add_insecure_port(f"127.0.0.1:{port}")
    transport.start()
    try:
        yield f"grpc://127.0.0.1:{bound}"
    finally:
        transport.stop(grace=0).wait()


def _wire_type(data_type: int) -> str:
    return model_config_pb2.DataType.Name(data_type).removeprefix("TYPE_")
