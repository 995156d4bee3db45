"""Divides frames into parts that several processes or machines do side by side."""

from fractions import Fraction
from itertools import pairwise
from math import ceil

#: A part more would keep one of two workers waiting for longer than parts that are a little longer.
_OVER = Fraction(1, 10)


def part_count(duration_s: Fraction, longest_s: Fraction) -> int:
    """How many parts of `longest_s` make `duration_s`: a tenth of a part more makes no other one."""
    return max(1, ceil(duration_s / longest_s - _OVER))


def divided(frames: int, count: int) -> tuple[range, ...]:
    """`frames` in so many segments, or in fewer where there are fewer frames; their sizes differ by one at most."""
    count = max(1, min(count, frames))
    edges = [frames * number // count for number in range(count + 1)]
    return tuple(range(first, stop) for first, stop in pairwise(edges))
