"""The price table: kinds of machines, with what an hour of each costs. Users edit it as TOML."""

import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from lipsync_core.errors import InputError

_REMEDY = "write a good one with --write-prices"
_LARGEST = 1e6


@dataclass(frozen=True, slots=True)
class NodeType:
    """A kind of machine."""

    name: str
    cores: float
    memory_gb: float
    price_per_hour: float
    gpus: int = 0
    gpu_memory_gb: float = 0.0  # of each GPU
    speed: float = 1.0  # of each GPU on this product's networks; an RTX 3090 is 1

    def __post_init__(self) -> None:
        positive = (self.cores, self.memory_gb, self.speed)
        other = (self.price_per_hour, self.gpus, self.gpu_memory_gb)
        if not all(0 < each <= _LARGEST for each in positive) or not all(0 <= each <= _LARGEST for each in other):
            raise ValueError(f"the node {self.name!r} has a number that cannot be")
        if int(self.gpus) != self.gpus or self.cores <= 0:
            raise ValueError(f"the node {self.name!r} needs a whole number of GPUs")

    @property
    def memory_bytes(self) -> float:
        """Its memory."""
        return self.memory_gb * 1e9


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All machines to choose from."""

    currency: str
    nodes: tuple[NodeType, ...]

    def __post_init__(self) -> None:
        if not self.cpu_nodes:
            raise ValueError("it has no node without a GPU")
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise ValueError("two nodes have one name")

    @property
    def cpu_nodes(self) -> tuple[NodeType, ...]:
        """The machines without a GPU."""
        return tuple(node for node in self.nodes if not node.gpus)

    @property
    def gpu_nodes(self) -> tuple[NodeType, ...]:
        """The machines with a GPU."""
        return tuple(node for node in self.nodes if node.gpus)


def bundled_prices_toml() -> str:
    """The table that comes with this product, as its file."""
    return resources.files("lipsync_service.capacity").joinpath("prices.toml").read_text(encoding="utf-8")


def bundled_prices() -> PriceTable:
    """The table that comes with this product."""
    return parse_prices(bundled_prices_toml())


def read_prices(path: Path) -> PriceTable:
    """The table in a file.

    Raises:
        InputError: the file cannot be read, or is no such table; the message names the fault.
    """
    try:
        return parse_prices(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}", "name another file with --prices") from exc
    except ValueError as exc:
        raise InputError(f"{path} holds no price table: {exc}", _REMEDY) from exc


def parse_prices(text: str) -> PriceTable:
    """The table in a text. Raises ValueError with the fault."""
    table = tomllib.loads(text)
    nodes = table.get("nodes")
    if not isinstance(nodes, list) or not nodes or not all(isinstance(node, dict) for node in nodes):
        raise ValueError("it has no [[nodes]]")
    return PriceTable(str(table.get("currency", "USD")), tuple(_node(node) for node in nodes))


def _node(values: dict[str, Any]) -> NodeType:
    name = values.get("name", "without a name")
    known = {each.name for each in fields(NodeType)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"the node {name!r} has the unknown field {unknown[0]!r}")
    try:
        return NodeType(**values)
    except TypeError as exc:  # a field is missing, or is of another type
        raise ValueError(f"the node {name!r} lacks a field, or has one that is no number") from exc
