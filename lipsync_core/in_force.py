"""A value that holds for the whole process, and that a block may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_T = TypeVar("_T")


class InForce(Generic[_T]):
    """Holds one value, for all threads."""

    def __init__(self, value: _T) -> None:
        self.value = value

    @contextmanager
    def changed(self, to: _T) -> Iterator[None]:
        """Put `to` in force for the block."""
        before, self.value = self.value, to
        try:
            yield
        finally:
            self.value = before
