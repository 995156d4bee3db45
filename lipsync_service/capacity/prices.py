"""The price table: kinds of machines, with what an hour of each costs. Users edit it as TOML."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lipsync_core.errors import InputError
from lipsync_service.capacity.toml_tables import array_of_tables, from_table, load_toml

_REMEDY = "write a good one with --write-prices"
_SMALLEST, _LARGEST = 1e-3, 1_000_000


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
        least = dict.fromkeys(("cores", "memory_gb", "speed"), _SMALLEST)
        for name in (*least, "price_per_hour", "gpus", "gpu_memory_gb"):
            value, low = getattr(self, name), least.get(name, 0)
            if not low <= value <= _LARGEST:  # nor is any number that is none (nan)
                raise ValueError(f"{name} of the node {self.name!r} is {value:g}, not {low:g} to {_LARGEST:,}")
        if int(self.gpus) != self.gpus:
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
    table = load_toml(text)
    nodes = tuple(_node(node) for node in array_of_tables(table, "nodes"))
    return PriceTable(str(table.get("currency", "USD")), nodes)


def _node(table: dict[str, Any]) -> NodeType:
    return from_table(NodeType, table, f"the node {table.get('name', 'without a name')!r}")
