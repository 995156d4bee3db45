"""Large tables of like rows: a part of each runs with `make test`, all of them with `make test-thorough`."""

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

_T = TypeVar("_T")

#: A test of which others tell nearly as much.
thorough = pytest.mark.thorough
OPTION = "--thorough"
REASON = "one of many like it: make test-thorough runs it"


def some_of(rows: Sequence[_T], usual: Sequence[_T]) -> list[Any]:
    """Each of `rows` as a parameter; those that are not among the `usual` ones carry the mark."""
    return [row if row in usual else pytest.param(row, marks=thorough) for row in rows]


def first_of(rows: Sequence[_T], count: int) -> list[Any]:
    """As `some_of`, with the first `count` as the usual ones."""
    return some_of(rows, rows[:count])


def first_rows(rows: Sequence[tuple[Any, ...]], count: int) -> list[Any]:
    """As `first_of`, for rows of several parameters."""
    return [*rows[:count], *(pytest.param(*row, marks=thorough) for row in rows[count:])]


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the marked tests unless `OPTION` is given."""
    if not config.getoption(OPTION):
        for item in items:
            if item.get_closest_marker(thorough.name):
                item.add_marker(pytest.mark.skip(reason=REASON))
