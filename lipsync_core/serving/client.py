"""A model of a Triton server, used like a network of this process; the server forms batches across its callers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError, ModelMissingError
from lipsync_core.execution import Provider
from lipsync_core.network import TensorSpec
from lipsync_core.serving.config import canary_shape
from lipsync_core.serving.connection import Connection, InferInput, InferRequestedOutput
from lipsync_core.serving.identity import ServedIdentity
from lipsync_core.serving.patience import Patience
from lipsync_core.serving_counts import ServingCounts

_logger = logging.getLogger(__name__)

#: Triton's names of element types, with those of ONNX Runtime and numpy.
_TYPES: Mapping[str, tuple[str, type[np.generic]]] = MappingProxyType(
    {
        "UINT8": ("tensor(uint8)", np.uint8),
        "FP16": ("tensor(float16)", np.float16),
        "FP32": ("tensor(float)", np.float32),
        "INT64": ("tensor(int64)", np.int64),
    }
)


class ServedModel:
    """Implements `network.Network`. Threads may share it; open it in the process that infers, not in one that forks."""

    def __init__(
        self,
        address: str,
        name: str,
        expected: ServedIdentity | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Open the model `name` of the server at `address`, grpc://HOST:PORT; wait for a server that is starting.

        Raises:
            OptionError: the address has another form.
            ModelServerDownError: the server does not answer, or does not get ready.
            ModelMissingError: it has no model of that name.
            ModelMismatchError: its model is not the `expected` one.
            ModelError: the client is not installed, or the model has a type of numbers that is not known here.
        """
        self.name = name
        self.label = f"{name} of the model server {address}"
        self._connection = Connection(address, patience or Patience())
        self._require_present()
        config = self._connection.ask(self.label, lambda client, s: client.get_model_config(name, client_timeout=s))
        metadata = self._connection.ask(self.label, lambda client, s: client.get_model_metadata(name, client_timeout=s))
        #: The greatest number of rows in one request; 0 where the model takes no batches.
        self.batch_limit = int(config.config.max_batch_size)
        parameters = {key: value.string_value for key, value in config.config.parameters.items()}
        self.identity = self._checked_identity(parameters, expected)
        self.inputs = tuple(self._spec(tensor) for tensor in metadata.inputs)
        self.outputs = tuple(self._spec(tensor) for tensor in metadata.outputs)
        _logger.info("opened %s: %s, batches of at most %d", self.label, self.identity, self.batch_limit)

    def __repr__(self) -> str:
        return f"ServedModel({self.name}, {len(self.inputs)} inputs, {len(self.outputs)} outputs)"

    @property
    def provider(self) -> Provider:
        """The server, whatever it runs on; `identity` says that."""
        return "server"

    @property
    def counts(self) -> ServingCounts:
        """What this caller has seen so far."""
        return self._connection.book.counts

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs, or all in order, for arrays by input name; more rows than a batch holds go in turn.

        Raises:
            ModelError: shapes or types do not fit the model.
            ModelServerDownError, ModelServerBusyError: the patience has ended.
        """
        names = tuple(outputs or (spec.name for spec in self.outputs))
        parts = [self._infer(chunk, names) for chunk in self._chunks(feeds)]
        if not self.batch_limit:
            return [np.array(array) for array in parts[0]]  # the client's own arrays cannot be written to
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def check(self) -> None:
        """A canary: one inference on zeros. That a server says it is ready proves nothing: a dead backend may hide.

        Raises:
            ModelError: the model refuses it.
            ModelServerDownError, ModelServerBusyError: the patience has ended.
        """
        is_batched = self.batch_limit > 0
        self.run({spec.name: np.zeros(canary_shape(spec, is_batched), _numpy_type(spec)) for spec in self.inputs})

    def _chunks(self, feeds: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        if not self.batch_limit:
            yield dict(feeds)
            return
        counts = {len(array) for array in feeds.values()}
        if len(counts) != 1 or not min(counts):
            raise ModelError(
                f"{self.label} takes the same number of rows, at least one, in each input: {_shown(feeds)}"
            )
        for start in range(0, counts.pop(), self.batch_limit):
            yield {name: array[start : start + self.batch_limit] for name, array in feeds.items()}

    def _infer(self, feeds: Mapping[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        tensors = [self._tensor(name, array) for name, array in feeds.items()]
        wanted = [InferRequestedOutput(name) for name in names]
        queue_us = self._connection.patience.queue_us

        def question(client: Any, deadline_s: float) -> Any:
            return client.infer(self.name, tensors, outputs=wanted, timeout=queue_us, client_timeout=deadline_s)

        answer = self._connection.ask(f"{self.label} ({_shown(feeds)})", question)
        self._connection.book.answered()
        return [self._array(answer, name) for name in names]

    def _tensor(self, name: str, array: NDArray[Any]) -> InferInput:
        known = {kind: triton for triton, (_, kind) in _TYPES.items()}
        triton_type = known.get(array.dtype.type)
        if triton_type is None:
            raise ModelError(f"{self.label} takes no {array.dtype} as {name}")
        tensor = InferInput(name, list(array.shape), triton_type)
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        return tensor

    def _array(self, answer: Any, name: str) -> NDArray[Any]:
        array: NDArray[Any] | None = answer.as_numpy(name)
        if array is None:
            raise ModelError(f"{self.label} gives no output {name}")
        return array

    def _require_present(self) -> None:
        """Tell a model that the server does not have from one that it has not loaded yet."""
        present = _names(self._connection)
        if self.name not in present:
            raise ModelMissingError(
                f"there is no {self.label}: it serves {', '.join(present) or 'nothing'}",
                "install the model where the server's folder is made: lipsync models export-repository DIR",
            )

    def _checked_identity(
        self, parameters: Mapping[str, str], expected: ServedIdentity | None
    ) -> ServedIdentity | None:
        """None only where nothing is expected and the server says nothing."""
        if expected is None and not parameters:
            return None
        found = ServedIdentity.of_parameters(self.label, parameters)
        if expected is not None:
            found.require(self.label, expected)
        return found

    def _spec(self, tensor: Any) -> TensorSpec:
        if tensor.datatype not in _TYPES:
            raise ModelError(f"{self.label} has {tensor.name} of type {tensor.datatype}, which is not known here")
        shape = tuple(int(size) if size > 0 else None for size in tensor.shape)
        return TensorSpec(tensor.name, shape, _TYPES[tensor.datatype][0])


def served_names(address: str, patience: Patience | None = None) -> tuple[str, ...]:
    """The models in the folder of the server at `address`, once that is ready.

    Raises:
        OptionError: the address has another form.
        ModelServerDownError: the server does not answer, or does not get ready.
    """
    connection = Connection(address, patience or Patience())
    try:
        return _names(connection)
    finally:
        connection.close()


def _names(connection: Connection) -> tuple[str, ...]:
    label = f"the model server {connection.address}"
    connection.ask(label, connection.require_ready)
    index = connection.ask(label, lambda client, s: client.get_model_repository_index(client_timeout=s))
    return tuple(sorted({model.name for model in index.models}))


def _numpy_type(spec: TensorSpec) -> type[np.generic]:
    return next(kind for dtype, kind in _TYPES.values() if dtype == spec.dtype)


def _shown(feeds: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
