"""The reading room: readers in processes of their own do what strangers' files make FFmpeg do.

`reading_room` opens one for a block. Its desk is forked then, so open it early: before threads start.
"""

import logging
import os
import pickle
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from lipsync_core import apart
from lipsync_core.apart import Scope
from lipsync_core.errors import TransientError, UnreadableMediaError
from lipsync_core.isolation.answers import Answers
from lipsync_core.isolation.confinement import ReaderLimits
from lipsync_core.isolation.desk import become_desk
from lipsync_core.isolation.items import has_pictures, items_of
from lipsync_core.isolation.kept import KeptReaders
from lipsync_core.isolation.pictures import SharedPictures
from lipsync_core.isolation.reader import Request, answer
from lipsync_core.isolation.wire import BrokenWireError, Kind, Message, returned_by, unpacked
from lipsync_core.limits import limits
from lipsync_core.media.allowed import allowed
from lipsync_core.threads import codec_threads

_TIMEVAL = struct.Struct("@ll")
_REQUEST = b"r"
_SEND_S = 60.0  # to a reader: a machine may be busy
#: The modules of the functions that readers do: each reader would import them otherwise.
_READ_BY = tuple(
    f"lipsync_core.media.{name}" for name in ("probe", "starts", "field_choice", "decode", "sound", "sound_copy")
)

_log = logging.getLogger(__name__)


class ReadingRoom:
    """A desk that forks readers on request. Threads may ask at the same time."""

    def __init__(self, room: ReaderLimits | None = None) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._kept = KeptReaders()
        self._open_desk()

    def _open_desk(self) -> None:
        for module in _READ_BY:
            import_module(module)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._desk = os.fork()
        if self._desk == 0:
            apart.leave()
            become_desk(theirs, answer)
        theirs.close()

    def close(self) -> None:
        """End the desk, whatever it does; the kernel ends its readers with it."""
        self._kept.close()
        self._requests.close()
        with suppress(ProcessLookupError, ChildProcessError):  # someone else has waited for it
            os.kill(self._desk, signal.SIGKILL)
            os.waitpid(self._desk, 0)

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What `function` returns, from a reader.

        Raises:
            LipSyncError: as `function`; MEDIA_UNREADABLE where the file has ended the reader, and the codes of limits.
        """
        with self._asked(self._request(function, args, kwargs), None) as answers:
            return unpacked(answers.value(), returned_by(function))

    def stream(
        self, function: Callable[..., Iterator[Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[Any]:
        """What `function` yields, from a reader that ends with the iterator; raises as `call`."""
        with ExitStack() as stack:
            memory = SharedPictures.make() if has_pictures(function) else None
            if memory is not None:
                stack.callback(memory.close)
            answers = stack.enter_context(self._asked(self._request(function, args, kwargs, is_stream=True), memory))
            items = items_of(function, memory, answers.take)
            yield from map(items.unpack, answers.items())

    def _request(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], is_stream: bool = False
    ) -> Request:
        name = f"{function.__module__}:{function.__qualname__}"
        files, present = tuple(_files_of((*args, *kwargs.values()))), limits()
        room = self._room or ReaderLimits(present.max_reading_memory_bytes, present.max_reading_cpu_s)
        return Request(name, args, dict(kwargs), files, is_stream, codec_threads() or None, allowed(), present, room)

    @contextmanager
    def _asked(self, request: Request, memory: SharedPictures | None) -> Iterator[Answers]:
        """The answers of a reader that has answered about the same files, or of a new one.

        After a whole answer it is kept; otherwise it ends with the block, as does each one with memory for pictures.
        """
        kind, message = _kind_of(request), Message(Kind.VALUE, 0, pickle.dumps(request))
        answers = self._ready(request, message, memory, kind)
        is_whole = False
        try:
            yield answers
            is_whole = memory is None and answers.is_whole
        except BrokenWireError as exc:
            raise answers.broken() from exc
        finally:
            if is_whole and _kind_of(request) == kind:
                self._kept.keep(kind, answers)
            else:
                answers.close()

    def _ready(
        self, request: Request, message: Message, memory: SharedPictures | None, kind: tuple[Any, ...]
    ) -> Answers:
        """A reader that has taken the request. One that ends before that, or its desk, gives way to another, once."""
        waiting = self._kept.take(kind)
        if waiting is not None and memory is not None:
            waiting.close()
            waiting = None
        try:
            return _asked_of(waiting or self._new(request, memory), message)
        except (TransientError, UnreadableMediaError):
            return _asked_of(self._new(request, memory), message)

    def _new(self, request: Request, memory: SharedPictures | None) -> Answers:
        connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(request.room.wait_s))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(min(_SEND_S, request.room.wait_s)))
        with theirs:
            self._hand_over([theirs.fileno(), *([] if memory is None else [memory.descriptor])])
        return Answers(connection, ", ".join(map(str, request.files)) or "a file", request.room)

    def _hand_over(self, descriptors: list[int]) -> None:
        """Give the desk a request's descriptors; a desk that was killed gives way to another."""
        with self._lock:
            try:
                socket.send_fds(self._requests, [_REQUEST], descriptors)
            except OSError:
                _log.warning("the process that starts readers was killed; there is another one now")
                self.close()
                self._open_desk()
                socket.send_fds(self._requests, [_REQUEST], descriptors)


@contextmanager
def reading_room(scope: Scope, room: ReaderLimits | None = None) -> Iterator[None]:
    """Have readers do what `scope` says in the block; without effect where the system is not Linux.

    A room that `prepared_room` has opened serves it, where there is one.
    """
    if scope == "nothing" or not is_possible():
        yield
        return
    if _prepared is not None:
        with apart.entered(_prepared, scope):
            yield
        return
    opened = ReadingRoom(room)
    try:
        with apart.entered(opened, scope):
            yield
    finally:
        opened.close()


@contextmanager
def prepared_room() -> Iterator[None]:
    """Fork a desk now, for a `reading_room` later in the block: before threads start, and before secrets are here."""
    global _prepared
    if not is_possible():
        yield
        return
    _prepared = ReadingRoom()
    try:
        yield
    finally:
        opened, _prepared = _prepared, None
        opened.close()


_prepared: ReadingRoom | None = None


def is_possible() -> bool:
    """Whether this system has what a reading room needs."""
    return sys.platform == "linux"


def _asked_of(answers: Answers, message: Message) -> Answers:
    """`answers`, whose reader has taken the request."""
    try:
        answers.ask(message)
    except BaseException:
        answers.close()
        raise
    return answers


def _kind_of(request: Request) -> tuple[Any, ...]:
    """What a reader is confined to: a file that has taken another's place is not read by the other's reader."""
    present = (os.getpid(), request.allowed, request.limits, request.room, request.threads)
    return (*present, *((path, _version_of(path)) for path in request.files))


def _version_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _files_of(values: tuple[Any, ...]) -> Iterator[Path]:
    for value in values:
        path = value if isinstance(value, Path) else getattr(value, "path", None)
        if isinstance(path, Path):
            yield path.absolute()


def _timeval(seconds: float) -> bytes:
    return _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
