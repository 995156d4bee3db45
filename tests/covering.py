"""Rows of values in which every pair that can stand together does so once: a covering array, made greedily."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]
_Cell = tuple[str, str]  # an axis and its value


def covering_rows(
    axes: Mapping[str, Sequence[str]],
    pairs: Iterable[tuple[str, str]],
    is_allowed: Callable[[Row], bool],
    seed: int = 1,
) -> list[Row]:
    """Rows with a value of each axis that hold each allowed pair of values of the axes in `pairs`.

    `is_allowed` judges rows of which some values may be missing, and takes none back that it allowed with fewer.
    """
    order = random.Random(seed)
    wanted = [((a, x), (b, y)) for a, b in pairs for x in axes[a] for y in axes[b]]
    order.shuffle(wanted)
    left = {frozenset(pair) for pair in wanted}
    rows: list[Row] = []
    for pair in wanted:
        if frozenset(pair) in left:
            row = _filled(dict(pair), [axis for axis in axes if axis not in dict(pair)], axes, left, is_allowed, order)
            if row is not None:
                rows.append({axis: row[axis] for axis in axes})
                left -= set(map(frozenset, combinations(row.items(), 2)))
    return rows


def _filled(
    row: Row,
    empty: Sequence[str],
    axes: Mapping[str, Sequence[str]],
    left: set[frozenset[_Cell]],
    is_allowed: Callable[[Row], bool],
    order: random.Random,
) -> Row | None:
    """`row` with the values for its `empty` axes that cover most of what is `left`; None where none can."""
    if not is_allowed(row):
        return None
    if not empty:
        return row
    axis, *others = empty

    def gain(value: str) -> tuple[int, float]:
        return sum(frozenset((cell, (axis, value))) in left for cell in row.items()), order.random()

    for value in sorted(axes[axis], key=gain, reverse=True):
        filled = _filled({**row, axis: value}, others, axes, left, is_allowed, order)
        if filled is not None:
            return filled
    return None
