"""Marks the functions that read strangers' files. Where a reading room is open, a reader does them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from lipsync_core.in_force import InForce

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


_is_reader = False
_in_force: InForce[tuple[Room | None, Scope]] = InForce((None, "nothing"))


def entered(room: Room, scope: Scope) -> AbstractContextManager[None]:
    """Have `room` do the marked functions of `scope` in the block, for all threads."""
    return _in_force.changed((room, scope))


def reads_all_apart() -> bool:
    """Whether this process itself opens no stranger's file."""
    return _in_force.value[1] == "all"


def leave() -> None:
    """Become a reader: do everything here."""
    global _is_reader
    _in_force.value, _is_reader = (None, "nothing"), True


def is_reader() -> bool:
    """Whether this process is a reader, which does one thing and has one thread."""
    return _is_reader


def read_apart(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Mark a function of a module that returns one value, of a type that `wire` takes."""

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        room, _ = _in_force.value
        if room is None:
            return function(*args, **kwargs)
        value: _T = room.call(function, args, kwargs)
        return value

    return called


def streamed_apart(function: Callable[_P, Iterator[_T]]) -> Callable[_P, Iterator[_T]]:
    """Mark a generator of a module, whose items are of a kind that `items` takes.

    A keyword argument `clock` stays here: what a reader uses is charged to the stage that waits for it.
    """

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
        room, scope = _in_force.value
        if room is None or scope != "all":
            return function(*args, **kwargs)
        crossing: dict[str, Any] = {name: value for name, value in kwargs.items() if name != "clock"}
        return room.stream(function, args, crossing)

    return called
