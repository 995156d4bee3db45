"""A reader: a process that answers requests about one stranger's file, confined before it opens it."""

import gc
import logging
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lipsync_core.errors import LimitError, LipSyncError
from lipsync_core.isolation.confinement import ReaderLimits, address_space_bytes, confine, renew_time
from lipsync_core.isolation.items import Items, items_of
from lipsync_core.isolation.pictures import SharedPictures
from lipsync_core.isolation.wire import (
    EndedWireError,
    Failure,
    Kind,
    LogLine,
    Message,
    failure_of,
    packed,
    receive,
    send,
)
from lipsync_core.limit_errors import MemoryLimitError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.allowed import Allowed, allowing
from lipsync_core.memory import own_bytes
from lipsync_core.shortage import shortage_behind
from lipsync_core.threads import codec_threads, threads_limited

_MOST_LEFT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A function by its name, the values that it is called with, and the files that it may read."""

    function: str  # module:name
    arguments: tuple[Any, ...]
    named_arguments: dict[str, Any]
    files: tuple[Path, ...]
    is_stream: bool
    threads: int | None  # of a codec, as `threads.threads_limited`
    allowed: Allowed
    limits: Limits
    room: ReaderLimits


#: Those of `confinement.KINDS` that hold for this process.
confinement: tuple[str, ...] = ()


def answer(connection: socket.socket, memory: int | None) -> None:
    """Read requests about the same files from `connection`, do them, and write the answers to it.

    It ends with the asker, after a failure or a stream of pictures, and where a request has left much memory in use.
    """
    global confinement
    begun_bytes = address_space_bytes()
    while True:
        try:
            request: Request = pickle.loads(receive(connection).payload)  # noqa: S301 - of the process that forked this one
        except (EndedWireError, OSError):
            return
        reading = _Reading(connection, request)
        try:
            with threads_limited(request.threads), allowing(request.allowed), limited(request.limits):
                function = _function(request.function)
                pictures = None if memory is None else SharedPictures(memory)
                items = items_of(function, pictures) if request.is_stream else None
                codec_threads()  # looks at files of the system, once
                reading.say(Kind.READY)
                if confinement:
                    renew_time(request.room)
                else:
                    confinement = confine(request.files, request.room)
                result = function(*request.arguments, **request.named_arguments)
                if items is None:
                    reading.say(Kind.VALUE, packed(result))
                else:
                    reading.send_items(result, items)
        except Exception as error:
            reading.say(Kind.FAILURE, packed(_failure(error, request.room)))
            return
        if memory is not None or not _is_as_it_was(begun_bytes, request.room):
            return


def _is_as_it_was(begun_bytes: int, room: ReaderLimits) -> bool:
    """Whether this process may wait for a next request: what it still holds is missing in the room for that one."""
    most = min(_MOST_LEFT_BYTES, room.memory_bytes // 16)
    if address_space_bytes() - begun_bytes > most:
        gc.collect()  # PyAV's frames refer to themselves
    return address_space_bytes() - begun_bytes <= most


class _Reading:
    def __init__(self, connection: socket.socket, request: Request) -> None:
        self._connection = connection
        self._request = request
        logging.getLogger().handlers[:] = [_Forwarding(self)]

    def say(self, kind: Kind, payload: bytes = b"") -> None:
        with suppress(OSError):  # the asker is gone, and the desk ends this process
            send(self._connection, Message(kind, time.process_time_ns(), payload))

    def send_items(self, values: Iterable[Any], items: Items) -> None:
        for value in values:
            while not items.has_room:
                taken = self._connection.recv(1024)
                if not taken:
                    os._exit(0)  # the asker is gone
                items.make_room(taken)
            self.say(Kind.ITEM, items.pack(value))
            renew_time(self._request.room)
        self.say(Kind.END, packed(own_bytes()))
        while items.untaken:  # else the next request would begin with these bytes
            taken = self._connection.recv(items.untaken)
            if not taken:
                os._exit(0)
            items.make_room(taken)


class _Forwarding(logging.Handler):
    """Has the asker log what a reader would."""

    def __init__(self, reading: _Reading) -> None:
        super().__init__()
        self._reading = reading

    def emit(self, record: logging.LogRecord) -> None:
        """Send the line."""
        self._reading.say(Kind.LOG, packed(LogLine(record.name, record.levelno, os.fsencode(record.getMessage()))))


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _failure(error: Exception, room: ReaderLimits) -> Failure:
    """The failure of an error. Behind many is a shortage of memory, which this process alone limits."""
    if not isinstance(error, LimitError) and shortage_behind(error) is not None:
        mib = room.memory_bytes >> 20
        return failure_of(MemoryLimitError(f"the file needs more than {mib} MiB to be read", "give a smaller file"))
    if isinstance(error, LipSyncError):
        return failure_of(error)
    return Failure("", os.fsencode(traceback.format_exc(limit=-4)), b"")
