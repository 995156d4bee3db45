"""What crosses between a reader and the process that asked it: messages of typed values, and no code.

The reader may have been taken over by the file that it reads. So its messages are MessagePack, checked against the type
that the function promises (msgspec); nothing of them is ever unpickled.
"""

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from lipsync_core import errors, limit_errors
from lipsync_core.errors import LipSyncError

_HEAD = struct.Struct("<BQI")  # kind, nanoseconds of CPU so far, bytes that follow
_MAX_BYTES = 64 << 20
_MOST_CHARS = 4000
_UNDECODED = frozenset(map(chr, range(0xDC80, 0xDD00)))  # surrogateescape, PEP 383


class Kind(IntEnum):
    """What a message is."""

    VALUE = 1  # what the function returned
    FAILURE = 2  # the error that it ended with
    ITEM = 3  # one of the items that it yields
    END = 4  # there are no more
    LOG = 5
    READY = 7  # the reader has taken the request, and opens the file next
    EXIT = 6  # from the desk: the reader's process has ended, with this status


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as its class's name and its two texts, which may name files: as the system has such names."""

    name: str
    message: bytes
    remedy: bytes


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for the log of the process that asked."""

    logger: str
    level: int
    text: bytes  # as the system has names of files


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `cpu_ns` is all that the reader has used since it began."""

    kind: Kind
    cpu_ns: int
    payload: bytes


class BrokenWireError(Exception):
    """The other side says what no reader says."""


class EndedWireError(Exception):
    """The other side has ended without a last word."""


def send(connection: socket.socket, message: Message) -> None:
    """Send all of `message`; raises OSError where the other side is gone."""
    connection.sendall(encoded(message))


def encoded(message: Message) -> bytes:
    """`message` as it crosses."""
    return _HEAD.pack(message.kind, message.cpu_ns, len(message.payload)) + message.payload


def receive(connection: socket.socket) -> Message:
    """Wait for a message.

    Raises:
        BrokenWireError: it is no message.
        EndedWireError: the other side is gone.
        BlockingIOError: it was silent for as long as the socket waits.
    """
    kind, cpu_ns, length = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if length > _MAX_BYTES or kind not in set(Kind):
        raise BrokenWireError("a message that no reader sends")
    return Message(Kind(kind), cpu_ns, _exactly(connection, length) if length else b"")


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = connection.recv(count, socket.MSG_WAITALL)
    while len(data) < count:  # a signal came, or the other side went
        more = connection.recv(count - len(data), socket.MSG_WAITALL)
        if not more:
            raise EndedWireError("the other side has ended")
        data += more
    return data


def packed(value: object) -> bytes:
    """`value`, made of dataclasses, tuples, numbers, texts, bytes, fractions and paths."""
    return msgspec.msgpack.encode(value, enc_hook=_simplified)


def unpacked(data: bytes, kind: Any) -> Any:
    """The value of type `kind`.

    Raises:
        BrokenWireError: `data` holds no such value.
    """
    try:
        return _decoder(kind).decode(data)
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError, RecursionError) as exc:
        raise BrokenWireError(f"a value that is no {kind}") from exc


def returned_by(function: Callable[..., Any]) -> Any:
    """The type that `function` promises to return."""
    return get_type_hints(function)["return"]


def failure_of(error: LipSyncError) -> Failure:
    """`error` as it crosses."""
    return Failure(type(error).__name__, os.fsencode(error.message), os.fsencode(error.remedy))


def error_of(failure: Failure) -> LipSyncError:
    """The error that `failure` describes; one without a class of that name is a plain LipSyncError."""
    kind = _errors_by_name().get(failure.name, LipSyncError)
    return kind(one_line(failure.message), one_line(failure.remedy))


def one_line(text: bytes) -> str:
    """A reader's text without what would begin another line, or move the terminal's cursor; bounded in length."""
    return "".join(map(_shown, os.fsdecode(text)[:_MOST_CHARS]))


def _shown(char: str) -> str:
    is_of_a_name = char in _UNDECODED  # a name of a file need not be text
    return char if char.isprintable() or is_of_a_name else " "


@cache
def _errors_by_name() -> dict[str, type[LipSyncError]]:
    everything = (*vars(errors).values(), *vars(limit_errors).values())
    return {each.__name__: each for each in everything if isinstance(each, type) and issubclass(each, LipSyncError)}


@cache
def _decoder(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind, dec_hook=_restored)


def _simplified(value: object) -> object:
    if isinstance(value, Fraction):
        return (value.numerator, value.denominator)
    if isinstance(value, Path):
        return os.fsencode(value)  # a name need not be text
    raise NotImplementedError(f"{type(value)} does not cross")


def _restored(kind: type, value: object) -> object:
    if (
        kind is Fraction
        and isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int) for each in value)
    ):
        return Fraction(*value)
    if issubclass(kind, Path) and isinstance(value, bytes):
        return Path(os.fsdecode(value))
    raise ValueError(f"no {kind}")
