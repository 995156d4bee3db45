"""Waits: how long is waited for values that others make."""

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Waits(Generic[_T]):
    """The same values; counts the seconds until each is there."""

    def __init__(self, values: Iterator[_T]) -> None:
        self._values = values
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        began_s = time.perf_counter()
        try:
            return next(self._values)
        finally:
            self.waited_s += time.perf_counter() - began_s
