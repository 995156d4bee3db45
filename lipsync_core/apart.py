"""Marks the functions that read strangers' files. Where a reading room is open, a reader does them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

#: What is done apart: nothing; probes, whose work is small; or all reading, decoding included.
Scope = Literal["nothing", "probes", "all"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Room(Protocol):
    """Does functions in other processes; `lipsync_core.isolation.room` has the one."""

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What `function` returns."""

    def stream(
        self, function: Callable[..., Iterator[Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[Any]:
        """What `function` yields."""


_room: Room | None = None
_scope: Scope = "nothing"


@contextmanager
def entered(room: Room, scope: Scope) -> Iterator[None]:
    """Have `room` do the marked functions of `scope` in the block, for all threads."""
    global _room, _scope
    before = _room, _scope
    _room, _scope = room, scope
    try:
        yield
    finally:
        _room, _scope = before


def reads_all_apart() -> bool:
    """Whether this process itself opens no stranger's file."""
    return _room is not None and _scope == "all"


def leave() -> None:
    """In a reader: do everything here."""
    global _room, _scope
    _room, _scope = None, "nothing"


def read_apart(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Mark a function of a module that returns one value, of a type that `wire` takes."""

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if _room is None or _scope == "nothing":
            return function(*args, **kwargs)
        value: _T = _room.call(function, args, kwargs)
        return value

    return called


def streamed_apart(function: Callable[_P, Iterator[_T]]) -> Callable[_P, Iterator[_T]]:
    """Mark a generator of a module, whose items are of a kind that `items` takes.

    A keyword argument `clock` stays here: what a reader uses is charged to the stage that waits for it.
    """

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
        if _room is None or not reads_all_apart():
            return function(*args, **kwargs)
        crossing: dict[str, Any] = {name: value for name, value in kwargs.items() if name != "clock"}
        return _room.stream(function, args, crossing)

    return called
