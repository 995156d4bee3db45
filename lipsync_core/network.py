"""A network that is ready to run: in this process (`onnx_session`) or in a model server (`serving`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from lipsync_core.execution import Provider


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    shape: tuple[int | None, ...]  # None where any size will do
    dtype: str  # as ONNX Runtime writes it, such as "tensor(float)"

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({sizes}) {self.dtype}"

    def fits(self, shape: tuple[int | None, ...], dtype: str = "tensor(float)") -> bool:
        """Whether arrays of `shape` fit; where a size of either is None, any will do."""
        if self.dtype != dtype or len(self.shape) != len(shape):
            return False
        return all(None in pair or pair[0] == pair[1] for pair in zip(self.shape, shape, strict=True))


class Network(Protocol):
    """Opened once in a process; all threads may call `run` at the same time."""

    @property
    def label(self) -> str:
        """The network in messages: its file, or its name and server."""
        ...

    @property
    def provider(self) -> Provider:
        """What runs the network."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the file's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the file's order."""
        ...

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs, or all of them in order, for arrays by input name.

        Raises:
            ModelError: shapes or types do not fit the model, or it fails.
            TransientError: its server does not answer.
        """
        ...
