"""Keeps the memory of a process with many threads flat, where glibc manages it."""

import ctypes
from contextlib import suppress

_ARENA_MAX = -8  # malloc.h: M_ARENA_MAX
_HEAPS = 2


def keep_few_heaps() -> None:
    """Have this process, and no program that it starts, keep two heaps instead of eight a core.

    What is free in one heap serves no other, so a process whose threads come and go grows for days.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _HEAPS)
