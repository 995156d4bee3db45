"""Records of arrays and names, each kept as one `.npz` file."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np


class ArrayRecord:
    """A base of dataclasses whose fields are arrays, texts and numbers."""

    __slots__ = ()

    def save(self, path: Path) -> None:
        """Write all fields as one `.npz`."""
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in _names(type(self))}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in _names(cls)}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})


def _names(record: Any) -> list[str]:
    return [field.name for field in fields(record)]
